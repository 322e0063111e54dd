"""Faults of a configuration beyond its grammar."""
