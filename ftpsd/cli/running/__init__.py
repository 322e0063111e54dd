"""Commands for the running server: sessions, bans, and the end of a user's sessions."""
