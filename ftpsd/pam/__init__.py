"""The helper that asks PAM as root, for a daemon that is not: of the standard library and libpam alone."""
