"""The command line: `ftpsd`, also as `python -m ftpsd`."""
