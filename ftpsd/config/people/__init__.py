"""The users of a users file: as written, as they refer to each other, and resolved."""
