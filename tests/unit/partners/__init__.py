"""Unit tests of the client of other servers."""
