"""The accept gate: engines that look at uploads while they arrive, and the quarantine of what is refused."""
