"""Other FTPS servers as partners: the client, jobs, backups."""
