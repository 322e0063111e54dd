"""Receipts of transfers in the configuration: who signs them, and which users get them."""
