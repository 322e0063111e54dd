"""From the configuration of another server to that of ftpsd: what is read, what becomes of it, how it is written."""
