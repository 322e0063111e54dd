"""OpenPGP between a client and the disk: which paths, the gpg child, the key home, the upload that goes through it."""
