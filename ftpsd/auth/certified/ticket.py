"""
Tickets of enrolment: the random text that lets a client pin its certificate to a user, once.

    ticket = new_ticket()            enrol-5K…           for the operator to hand over
    split("enrol-5K…:secret")        (ticket, "secret")  what PASS said: the password behind it, where the user has one

The state file holds the digest of a ticket alone. 160 random bits need no slow hash.
"""

from __future__ import annotations

import re
import secrets
from base64 import b32encode
from hashlib import sha256
from typing import Final

_BYTES: Final = 20
_FORM: Final = re.compile(r"(enrol-[A-Z2-7]{32})(?::(.*))?", re.DOTALL)


def new_ticket() -> str:
    """Return a ticket that nobody can guess."""
    return f"enrol-{b32encode(secrets.token_bytes(_BYTES)).decode('ascii')}"


def split(password: str) -> tuple[str | None, str]:
    """Return the ticket in what PASS said, None for no ticket, and the password besides."""
    found = _FORM.fullmatch(password)
    return (None, password) if found is None else (found[1], found[2] or "")


def digest(ticket: str) -> str:
    """Return how the state file has *ticket*."""
    return sha256(ticket.encode("ascii")).hexdigest()
