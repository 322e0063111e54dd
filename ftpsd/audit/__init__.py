"""Events, the bus that carries them, and the sinks behind it (the JSON log, the metrics)."""
