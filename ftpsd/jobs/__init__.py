"""Jobs: files moved between partners and users, and backups, by the clock, on an event or by order."""
