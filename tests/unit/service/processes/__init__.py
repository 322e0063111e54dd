"""The tables that processes share, and how they are kept: without a process."""
