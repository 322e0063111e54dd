"""The control socket: callers, questions, bounds, and its file."""
