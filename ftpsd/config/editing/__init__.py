"""Changes of users.yaml that keep the rest of the file as it is."""
