"""Uploads that are looked at before they are taken."""
