"""Logins by the client's certificate: whose it is, and how it becomes a user's."""
