"""Backups: files by their digests, lists of what was where, and the way back. It blocks."""
