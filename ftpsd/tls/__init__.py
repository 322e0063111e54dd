"""TLS: certificates, the context of one control session, and whether a data connection resumes it (RFC 4217)."""
