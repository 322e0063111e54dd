"""Faults: the daemon is killed, the disk is full or broken, clients vanish and attack; no file is lost or leaked."""
