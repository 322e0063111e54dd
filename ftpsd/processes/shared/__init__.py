"""What all processes of a server share: counts, quotas and locks in one piece of memory."""
