"""The audit log on its way to receivers elsewhere."""
