"""Hashes of passwords: their kinds, the order in which they are computed, and making old ones anew."""
