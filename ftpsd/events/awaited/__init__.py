"""Files that are to come by a deadline: what has come, what has not, and the one event about each outcome."""
