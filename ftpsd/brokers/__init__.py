"""Clients of message brokers, in a child process: their event loop stays out of the reactor."""
