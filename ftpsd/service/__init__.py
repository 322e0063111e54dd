"""The daemon put together: built from a configuration, started, watched over by systemd, reloaded, drained."""
