"""`ftpsd backup` and `ftpsd restore`."""
