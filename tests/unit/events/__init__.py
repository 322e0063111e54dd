"""Unit tests of the ledger and of deliveries."""
