"""The daemon as a process: its exit codes, signals, systemd, reload, drain, audit log and metrics."""
