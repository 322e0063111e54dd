"""Views of a running daemon for operators and their machines: metrics, health and the status page."""
