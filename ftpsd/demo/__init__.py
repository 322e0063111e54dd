"""`ftpsd demo`: everything for a first look, made in one folder."""
