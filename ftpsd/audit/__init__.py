"""What happened: events, the bus that carries them, and what listens to it (the JSON log, the metrics)."""
