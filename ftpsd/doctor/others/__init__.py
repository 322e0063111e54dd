"""The services that the server depends on: sources of users, engines, receivers, the ledger."""
