"""Real sources of users for tests: slapd, libpam behind its helper, an HTTPS endpoint, and a relay that misbehaves."""
