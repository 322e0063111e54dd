"""The flow of one control connection: lines that wait, budgets, time limits, the silence of its client."""
