"""The command that makes a configuration of that of another server."""
