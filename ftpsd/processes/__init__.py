"""Several processes that serve as one: the supervisor, the processes under it, and their shared memory."""
