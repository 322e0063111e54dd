"""Rescans: stored files are shown to engines that have newer signatures."""
