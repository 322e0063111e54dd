"""The shared memory of all processes of a server: counts, quotas and locks."""
