"""Logins, by twisted.cred: which user a client is, and what is opened for that user."""
