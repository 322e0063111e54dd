"""The sections of ftpsd.yaml about the accept gate and its quarantine."""
