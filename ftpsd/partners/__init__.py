"""Other FTPS servers: a client in a child process, and the ways of a file to and from them."""
