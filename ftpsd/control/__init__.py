"""The server-PI: it reads commands, guards them, runs them in order and replies; it knows no verb."""
