"""More commands of `ftpsd user`: settings, switches, new passwords, and where a user has everything from."""
