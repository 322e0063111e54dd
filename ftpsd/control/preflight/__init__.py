"""The preflight of a partner: what works for a client that logs in to an account made for trying."""
