"""The daemon as several processes: limits, metrics, reload, drain, and what happens when one dies."""
