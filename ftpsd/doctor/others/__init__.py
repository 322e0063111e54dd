"""What the server stands on: sources of users, engines, receivers, the ledger."""
