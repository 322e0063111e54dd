"""Retention by the clock and by order, and the legal holds that outlast it."""
