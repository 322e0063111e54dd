"""A booted Debian, and docs/operations.md followed in it."""
