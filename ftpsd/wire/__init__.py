"""The bytes and values that cross the control and data connections: no clock, no reactor, no file system."""
