"""Transfers: the direction of their bytes, and how they end."""

from __future__ import annotations

from enum import StrEnum


class Result(StrEnum):
    """The end of a transfer."""

    COMPLETE = "complete"
    ABORTED = "aborted"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    FAILED = "failed"


class Direction(StrEnum):
    """The direction of a transfer's bytes; a listing is counted by itself, so that files stay countable."""

    DOWNLOAD = "download"
    UPLOAD = "upload"
    LISTING = "listing"
