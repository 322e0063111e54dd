"""The audit log for receivers elsewhere: where they have read to, and how they want it."""
