"""Storage end to end: quotas, mounts, and what `ftpsd explain` says about them."""
