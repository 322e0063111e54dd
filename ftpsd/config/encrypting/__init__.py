"""Encryption at rest: what ftpsd.yaml says of it, and the master keys it names."""
