"""Commands about what is stored: the quarantine."""
