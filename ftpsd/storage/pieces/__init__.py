"""Work on files that takes long, done in pieces: copies, joins, checksums, ranges."""
