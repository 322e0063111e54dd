"""Backups: their names, and the directory that they are in."""
