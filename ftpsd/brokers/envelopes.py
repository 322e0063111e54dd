"""
The lines between daemon and child, each one JSON object: first the account of the broker, then messages and answers.

    child <- the Account                     child -> {"n": 1} | {"n": 1, "error": "…"}, in any order
    child <- {"n": 1, "id": …, …}, …
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

# Bytes of one line: an event has a few KiB, its path at most 4 KiB, escaped.
LONGEST: Final = 1 << 20

Kind = Literal["nats", "amqp", "kafka"]


@dataclass(frozen=True, slots=True)
class Account:
    """
    A broker of that *kind*, and where messages go in it; *servers* are HOST:PORT.

    *authority* is in PEM form, None for the authorities of the machine. *exchange* and *virtual_host* are AMQP's,
    *mechanism* is Kafka's. *timeout* are seconds.
    """

    kind: Kind
    servers: tuple[str, ...]
    tls: bool
    user: str | None
    password: str | None = field(repr=False)
    authority: str | None
    exchange: str
    virtual_host: str
    mechanism: str
    timeout: float


@dataclass(frozen=True, slots=True)
class Message:
    """The *body* for *topic*; no two events have one *id*, and those with one *key* come in their order."""

    n: int
    id: str
    key: str
    event: str
    topic: str
    body: str
