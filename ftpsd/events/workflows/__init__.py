"""Workflows: what is done with a file behind its event, step by step, each step once."""
