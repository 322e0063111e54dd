"""Files and their trees: blocking by contract, called in workers only; knows no reactor, no session and no Twisted."""
