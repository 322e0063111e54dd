"""Logins, by twisted.cred: who a client is, and what is opened for them."""
