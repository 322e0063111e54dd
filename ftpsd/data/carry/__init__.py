"""The way of bytes across a data connection: channels, quanta, rates."""
