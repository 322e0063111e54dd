"""Quotas: how much is in a home, counted once and kept exact by every operation of this process."""
