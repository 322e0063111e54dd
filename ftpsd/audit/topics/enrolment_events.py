"""
Audit events of enrolments. The rules of `events.py` hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftpsd.audit.events import MOST_TYPED, Event


@dataclass(frozen=True, slots=True)
class CertificateEnrolled(Event):
    """
    A login by the ticket of the user *name* has pinned the client's certificate, by its fingerprint, to that user.

    The end of the login has its own event.
    """

    event = "certificate-enrolled"
    name: str
    certificate: str | None
    certificate_subject: str | None

    def __post_init__(self) -> None:
        if len(self.name) > MOST_TYPED:
            object.__setattr__(self, "name", self.name[:MOST_TYPED])
