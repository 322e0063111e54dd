"""How operators and their machines look at a running daemon: metrics, health and the status page."""
