"""The care of users' homes and mounts by the clock: their room, their counts, what abandoned uploads left."""
