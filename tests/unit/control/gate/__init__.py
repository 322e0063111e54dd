"""Tests of the gate in front of sessions."""
