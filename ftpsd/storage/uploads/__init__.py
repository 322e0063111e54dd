"""The growth, resumption and publication of uploads."""
