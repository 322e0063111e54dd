"""The parts of a Runtime that are read or made from the configuration."""
