"""All that every client may do, by ftplib: in clear, after AUTH TLS and in implicit TLS, with TLS 1.2 and 1.3."""
