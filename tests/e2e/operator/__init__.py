"""The operator's hand on the running server: the control socket and its commands."""
