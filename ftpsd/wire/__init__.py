"""What crosses the control and data connections, as bytes and values: no clock, no reactor, no file system."""
