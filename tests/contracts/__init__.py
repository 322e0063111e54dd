"""Contracts: facts that hold for every implementation of an interface, the fakes included."""
