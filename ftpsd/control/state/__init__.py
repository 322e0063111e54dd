"""The memory of one session, and the state that all sessions share."""
