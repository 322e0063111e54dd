"""What the process tells the machine it runs on: systemd, the journal, standard output."""
