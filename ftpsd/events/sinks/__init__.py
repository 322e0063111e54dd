"""The ways of events to other systems: webhooks, brokers, programs, files."""
