"""The events of one topic each, beside those of sessions and transfers in `ftpsd.audit.events`."""
