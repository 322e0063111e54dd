"""How bytes cross a data connection: channels, quanta, rates."""
