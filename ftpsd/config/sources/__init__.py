"""The sources of users beside users.yaml: their sections of ftpsd.yaml, and the files these name."""
