"""Small programs, each in a client library's own language, that do the operations of a job in one session."""
