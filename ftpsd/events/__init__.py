"""The ledger of events that must not be lost, and their way to other systems."""
