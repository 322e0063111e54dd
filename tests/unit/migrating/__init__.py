"""The configuration of other servers as ours."""
