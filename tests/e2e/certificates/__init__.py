"""Clients with certificates of their own, against the installed daemon."""
