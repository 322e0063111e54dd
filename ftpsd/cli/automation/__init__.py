"""Commands about what follows a transfer."""
