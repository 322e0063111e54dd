"""The doctor on another machine: a server, ftpsd or not, as a client from outside sees it."""
