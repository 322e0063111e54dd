"""State that survives the process: one SQLite file, `state` in ftpsd.yaml."""
