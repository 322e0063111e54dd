"""The operator's hand on the running server: the control socket, its callers, and the orders they give."""
