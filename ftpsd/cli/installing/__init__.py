"""`ftpsd install`: what a fresh machine needs."""
