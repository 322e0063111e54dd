"""One module for each server that can be left: what its settings mean."""
