"""Connections that the daemon makes to other servers: names, addresses, TLS, and one bounded question over HTTPS."""
