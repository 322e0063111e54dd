"""Hypothesis asserts no times: a busy machine is not a bug."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ftpsd", deadline=None)
settings.load_profile("ftpsd")
