"""Values that every floor may hold: paths, entries, permissions, quotas. No I/O, no encodings of a wire."""
