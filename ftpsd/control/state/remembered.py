"""
The memory of a session for its user: USER, REIN and AUTH set back all of it, by putting a new value in its place.

State of the connection stays with the session: TLS, the protection level, the host, the counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftpsd.auth.realm import Proved
from ftpsd.config.model import Config
from ftpsd.data.carry.pace import NO_LIMIT, Pace
from ftpsd.values import text as wire_text
from ftpsd.values.path import ROOT, VirtualPath
from ftpsd.wire.charset import UTF8, Charset
from ftpsd.wire.lines import CommandLine
from ftpsd.wire.list_lines import ALL_FACTS
from ftpsd.wire.reply import ReplyError

if TYPE_CHECKING:
    from ftpsd.control.table import Command

# zlib's own default: smaller output costs much more time.
DEFLATE_LEVEL = 6


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Named:
    """
    A login under way in which USER has named somebody, and PASS is to prove it.

    *leave* is called when the client leaves it at that, with another USER, REIN or the end of the session.
    """

    name: str
    leave: Callable[[], object] = _nothing


@dataclass(frozen=True, slots=True)
class Proven:
    """
    A login under way that *method* has *proved*, by the *runtime* of then; a code of the second factor is to follow.

    *leave* is as in `Named`.
    """

    proved: Proved
    method: str
    runtime: object
    leave: Callable[[], object] = _nothing


# The state of a login under way, replaced whole; None while nobody is named.
LoginUnderWay = Named | Proven | None


@dataclass(slots=True)
class Parameters:
    """The transfer parameters of RFC 959, 5.1.1, and all else that commands leave for later ones; times in seconds."""

    is_ascii: bool
    idle_timeout: float
    login: LoginUnderWay = None
    directory: VirtualPath = ROOT
    is_deflated: bool = False
    deflate_level: int = DEFLATE_LEVEL
    charset: Charset = UTF8
    """The charset of names on the wire."""
    wants_utf8: bool = False
    facts: tuple[str, ...] = ALL_FACTS
    hash_algorithm: str = "SHA-256"
    only_extended_passive: bool = False
    rename_from: VirtualPath | None = None
    renames_directory: bool = False
    copy_from: VirtualPath | None = None
    download_pace: Pace = NO_LIMIT
    upload_pace: Pace = NO_LIMIT
    restart_offset: int = 0
    range_end: int | None = None
    """The byte before which the next transfer stops; None for the end of the file."""

    @classmethod
    def of(cls, config: Config) -> Parameters:
        """Return the values a session begins with."""
        return cls(is_ascii=config.default_type == "ascii", idle_timeout=config.limits.idle_timeout)

    def keep_up(self, config: Config) -> None:
        """
        Take over the values of *config*, in a session without a user: none of them can have been chosen before a login.
        """
        now = Parameters.of(config)
        self.is_ascii, self.idle_timeout = now.is_ascii, now.idle_timeout

    def take_restart_offset(self) -> int:
        """Return the offset REST has set, once: it holds for the next transfer only (RFC 3659, 5.3)."""
        return self.take_range()[0]

    def take_range(self) -> tuple[int, int | None]:
        """Return, once, where the next transfer starts and the byte it stops before, None for the end of the file."""
        wanted = self.restart_offset, self.range_end
        self.restart_at(0)
        return wanted

    def restart_at(self, offset: int, end: int | None = None) -> None:
        """Let the next transfer start at byte *offset* and stop before byte *end*."""
        self.restart_offset, self.range_end = offset, end

    def understood(self, command: Command | None, line: CommandLine) -> CommandLine:
        """
        Return *line*, which was read as UTF-8, as the client has written it.

        Raises:
            ReplyError: 501, it is no text in the session's charset.
        """
        charset = self.charset
        if charset.is_utf8 or command is None or command.is_about_login:
            return line
        try:
            argument = charset.decode(wire_text.encode(line.argument))
        except UnicodeDecodeError:
            raise ReplyError(501, f"This is no text in {charset.name}; OPTS UTF8 ON changes to UTF-8.") from None
        return CommandLine(line.verb, argument)
