"""`python -m ftpsd.brokers`: the client of one sink, started by the daemon."""

from ftpsd.brokers.broker_child import main

main()
