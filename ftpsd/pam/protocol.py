"""
The questions of the daemon and the answers of the helper: one JSON object each, on a line, on a connection of its own.

`{"ask": "account", "user": …}` asks whether there is such a user who may log in, `{"ask": "password", "user": …,
"password": …, "address": …}` whether the password is right too. The answer is `{"answer": …, "groups": […]}`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

# Bytes of a question, which has a name and a password of a kilobyte each, all of it escaped at worst.
MOST_ASKED: Final = 16 * 1024
# Bytes of an answer, which has the names of a user's groups.
MOST_ANSWERED: Final = 64 * 1024


class Answer(StrEnum):
    """The helper's answer about a user."""

    YES = "yes"
    UNKNOWN = "unknown"
    WRONG = "wrong"
    EXPIRED = "expired"
    PASSWORD_EXPIRED = "password expired"
    LOCKED = "locked"
    DENIED = "denied"
    UNAVAILABLE = "unavailable"
