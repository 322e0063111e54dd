"""The audit log as evidence: lines that are chained and signed, checked and searched."""
