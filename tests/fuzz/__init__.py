"""Fuzzers: seeded generators of bad input, with fixed seeds in every test run, and for hours on request."""
