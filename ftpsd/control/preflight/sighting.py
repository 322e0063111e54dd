"""
The observations of the client in one session, from its audit events: numbers and fixed words, nothing that it typed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from ftpsd.audit.events import (
    CommandDone,
    DataConnectionOpened,
    DataConnectionRefused,
    Event,
    FileSent,
    FileStored,
    TLSEstablished,
    TLSFailed,
)
from ftpsd.values.direction import Result

# The kinds of events that say something about a client.
SEEN: Final = (
    CommandDone,
    DataConnectionOpened,
    DataConnectionRefused,
    FileSent,
    FileStored,
    TLSEstablished,
    TLSFailed,
)
# A refused PORT or EPRT has this code where it names an address that is not the client's.
FOREIGN_PORT: Final = 504


@dataclass(slots=True)
class Sighting:
    """
    One session of *user* on *host*, which began at *began* (Unix time) with this TLS on its control connection.

    *server_name* is the name that the client asked for (SNI), *wants_utf8* whether it has sent OPTS UTF8 ON.
    """

    session: str
    user: str
    host: str
    peer: str
    began: float
    tls: str | None = None
    cipher: str | None = None
    group: str | None = None
    server_name: str | None = None
    wants_utf8: bool = False
    done: Counter[str] = field(default_factory=Counter)
    """How many commands of each verb were done; verbs that are not of the table count as one."""
    refused: Counter[str] = field(default_factory=Counter)
    """The same of those that were refused."""
    types: set[str] = field(default_factory=set)
    """The representation types that were asked for: A, I."""
    passive: int = 0
    """Data connections that came in passive mode."""
    active: int = 0
    resumed: int = 0
    """Data connections under TLS that resumed a session."""
    not_resumed: int = 0
    no_connection: Counter[str] = field(default_factory=Counter)
    """Transfers without a data connection, by reason."""
    tls_failed: int = 0
    """TLS handshakes of data connections that failed."""
    foreign_port: int = 0
    """PORT or EPRT with an address that is not the client's."""
    clear_refused: int = 0
    """PROT C that was refused."""
    clear_asked: int = 0
    downloads: int = 0
    uploads: int = 0
    broken_downloads: int = 0
    broken_uploads: int = 0
    resumed_downloads: int = 0
    resumed_uploads: int = 0
    closed_by_tls: int = 0
    """Complete uploads under TLS that close_notify ended."""
    closed_by_fin: int = 0
    names_beyond_ascii: int = 0
    names_not_utf8: int = 0

    def note(self, event: Event) -> None:
        """Take *event* of the session into account."""
        match event:
            case CommandDone():
                self._note_command(event)
            case DataConnectionOpened(mode="passive"):
                self.passive += 1
            case DataConnectionOpened():
                self.active += 1
            case TLSEstablished(channel="data"):
                self.resumed += event.resumed
                self.not_resumed += not event.resumed
            case TLSFailed(channel="data"):
                self.tls_failed += 1
            case DataConnectionRefused():
                self.no_connection[event.reason] += 1
            case FileSent():
                is_whole = event.result is Result.COMPLETE
                self.downloads += is_whole
                self.broken_downloads += event.result is Result.TRUNCATED
                self.resumed_downloads += is_whole and event.offset > 0
            case FileStored():
                self._note_upload(event)
            case _:
                pass

    def _note_upload(self, event: FileStored) -> None:
        self.broken_uploads += event.result is Result.TRUNCATED
        if event.result is not Result.COMPLETE:
            return
        self.uploads += 1
        self.resumed_uploads += event.offset > 0
        if event.without_close_notify:
            self.closed_by_fin += 1
        elif event.tls is not None:
            self.closed_by_tls += 1

    def _note_command(self, event: CommandDone) -> None:
        verb, argument = event.command, event.argument
        is_done = event.code < 400
        (self.done if is_done else self.refused)[verb] += 1
        if verb == "TYPE" and is_done:
            self.types |= {argument.strip()[:1].upper()} & {"A", "I"}
        elif verb == "OPTS" and is_done and argument.strip().upper() in ("UTF8 ON", "UTF-8 ON", "UTF8"):
            self.wants_utf8 = True
        elif verb == "PROT" and argument.strip().upper() == "C":
            self.clear_asked += 1
            self.clear_refused += not is_done
        elif verb in ("PORT", "EPRT") and event.code == FOREIGN_PORT:
            self.foreign_port += 1
        if not argument.isascii():
            # Bytes that are no UTF-8 stand here as lone surrogates.
            is_text = not any("\ud800" <= letter <= "\udfff" for letter in argument)
            self.names_beyond_ascii += is_text
            self.names_not_utf8 += not is_text

    def as_json(self) -> dict[str, Any]:
        """Return it for programs, and for `from_json`."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: sorted(value) if isinstance(value, set) else value for name, value in found.items()}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Sighting:
        """Return what `as_json` made of one. Raises: TypeError, LookupError."""
        found = {name: told[name] for name in cls.__dataclass_fields__}
        for name in ("done", "refused", "no_connection"):
            found[name] = Counter(found[name])
        return cls(**{**found, "types": set(found["types"])})
