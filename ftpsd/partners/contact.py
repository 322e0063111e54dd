"""The values that daemon and child speak of: whom to call, what is there, and what has gone wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


@dataclass(frozen=True, slots=True)
class Contact:
    """
    A server and the account there; *authority* is in PEM form, None for the authorities of the machine.

    *timeout* are the seconds without any progress after which a wait is over.
    """

    host: str
    port: int
    mode: Literal["explicit", "implicit"]
    user: str
    password: str | None = field(default=None, repr=False)
    authority: str | None = None
    certificate: str | None = None
    private_key: str | None = None
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """
    A plain file of a server, or a directory; *modified* as it writes that (RFC 3659: YYYYMMDDHHMMSS[.sss], UTC), ""
    unknown. *unique* is the same for all names of one directory, "" unknown.
    """

    name: str
    size: int
    modified: str
    is_directory: bool = False
    unique: str = ""

    @property
    def mark(self) -> str:
        """Return what is another when the file has changed."""
        return f"{self.size}:{self.modified}"


class Fault(StrEnum):
    """The kinds of failures, by what can be done about them."""

    UNREACHABLE = "unreachable"  # no connection, or a lost one: later
    UNTRUSTED = "untrusted"  # its certificate or its TLS
    LOGIN = "login"  # it does not let us in
    MISSING = "missing"  # there is no such file
    REFUSED = "refused"  # it has said no: 5yz
    LATER = "later"  # it has said: not now, 4yz
    CHANGED = "changed"  # the file has changed meanwhile
    BROKEN = "broken"  # it does not speak FTP

    @property
    def is_for_good(self) -> bool:
        """Return whether another attempt in a moment is of no use."""
        return self in (Fault.UNTRUSTED, Fault.LOGIN, Fault.REFUSED, Fault.MISSING)


class PartnerError(Exception):
    """A failure; the text is for the operator, and holds no secret."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault
