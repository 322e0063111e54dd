"""The process's messages to the machine it runs on: systemd, the journal, standard output."""
