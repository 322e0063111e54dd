"""Files of this machine: walks, names, entries, reading, digests, and the system calls made whole."""
