"""The keys that make evidence of transfers and of the audit log, and the files they name."""
