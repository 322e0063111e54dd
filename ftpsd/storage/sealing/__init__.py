"""Encryption at rest: how the bytes of a file are sealed on the disk, and the keys that open them."""
