"""The attacks of security.md, performed over real sockets."""
