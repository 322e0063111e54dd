"""`ftpsd demo --tour`: each feature, shown with real clients at a running demonstration."""
