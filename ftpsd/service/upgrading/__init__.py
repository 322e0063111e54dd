"""A restart without an outage: another process serves, and the one before lets its sessions come to their end."""
