"""The ledger of events and its sinks."""
