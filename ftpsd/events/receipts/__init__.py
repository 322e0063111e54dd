"""Receipts: a signed file about each transfer, where its user fetches it."""
