"""What a process knows of the one before it."""
