"""Sources of users beside a users file: a directory (LDAP), the machine's accounts (PAM), an HTTPS endpoint."""
