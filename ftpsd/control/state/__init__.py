"""What is remembered of one session, and what all sessions share."""
