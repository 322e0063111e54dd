"""
Listings: one directory entry as a LIST line or as MLSx facts (RFC 959, 4.1.3; RFC 3659).

Times are UTC, always: clients assume it or ask for MDTM to find the offset. Owner and group are shown as "ftp", so a
listing tells nothing about the accounts of the host.
Names go out as they are; callers leave out those that are not `is_listable`.
A directory can hold 100,000 entries, so what repeats between them (mode strings, days, minutes) is computed once.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum, auto
from fnmatch import translate
from functools import lru_cache
from typing import Final, NamedTuple

from ftpsd.wire import text as wire_text

ALL_FACTS: Final[tuple[str, ...]] = ("type", "size", "modify", "perm", "unique", "UNIX.mode")

# In characters. A name has at most 255 bytes; a pattern beyond this has no use but to cost something.
MAX_PATTERN = 1024

_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS
# The borders of ls: about half a year back, and ahead no more than clocks and time zones can differ.
_RECENT_NS = 182 * _DAY_NS
_AHEAD_NS = _DAY_NS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = _EPOCH.toordinal()
_FIRST_SECOND = (date.min.toordinal() - _EPOCH_ORDINAL) * 86_400
_LAST_SECOND = (date.max.toordinal() - _EPOCH_ORDINAL + 1) * 86_400 - 1
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME_VALUE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})(?:\.([0-9]+))?")


class EntryType(Enum):
    """Say what an entry is, after the storage has followed the links it may follow."""

    FILE = auto()
    DIRECTORY = auto()
    LINK = auto()
    OTHER = auto()


# Read once: finding a member through its class costs more than the comparison.
_FILE, _DIRECTORY, _LINK = EntryType.FILE, EntryType.DIRECTORY, EntryType.LINK


@dataclass(frozen=True, slots=True)
class Entry:
    """
    Describe one name in a directory.

    *size* is in bytes, *modified_ns* in nanoseconds since 1970 UTC. *perm* holds the letters of RFC 3659, 7.5.5, and
    *unique* the same token for the same file; either is "" when not known.
    """

    name: str
    type: EntryType
    size: int
    modified_ns: int
    mode: int
    unique: str = ""
    links: int = 1
    perm: str = ""


def list_line(entry: Entry, now_ns: int) -> str:
    """Return the line of *entry* in the form of `ls -l`, without its line end; *now_ns* chooses clock or year."""
    # 100,000 entries take 75 ms; with stat.filemode and strftime for each of them, 110 ms and a wrong locale.
    kind = entry.type
    # "p" for what is neither file nor directory: every list parser knows it, and none offers to download it.
    letter = "-" if kind is _FILE else "d" if kind is _DIRECTORY else "l" if kind is _LINK else "p"
    seconds = entry.modified_ns // _SECOND_NS
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        seconds = _nearest_second(seconds)
    days, second = divmod(seconds, 86_400)
    if -_AHEAD_NS <= now_ns - entry.modified_ns <= _RECENT_NS:
        when = f"{_day(days).month_day} {_CLOCK[second // 60]}"
    else:
        when = _day(days).month_day_year
    return f"{_mode_letters(letter, entry.mode)} {entry.links:>3} ftp      ftp      {entry.size:>8} {when} {entry.name}"


def facts(entry: Entry, wanted: Collection[str], type_name: str | None = None) -> str:
    """
    Return the *wanted* facts of *entry*, each ending in ";", in the order of ALL_FACTS.

    *wanted* holds names as ALL_FACTS spells them. *type_name* takes the place of the type: "cdir", "pdir". A fact
    that is not known, and the size of a directory (RFC 3659, 7.5.7), is left out.
    """
    # 100,000 entries with all six facts take 120 ms.
    kind = entry.type
    line = ""
    if "type" in wanted:
        line = f"type={type_name or _type_fact(kind)};"
    if "size" in wanted and kind is not _DIRECTORY:
        line += f"size={entry.size};"
    if "modify" in wanted:
        line += f"modify={_time_value(entry.modified_ns // _SECOND_NS)};"
    if "perm" in wanted and entry.perm:
        line += f"perm={entry.perm};"
    if "unique" in wanted and entry.unique:
        line += f"unique={entry.unique};"
    if "UNIX.mode" in wanted:
        line += f"UNIX.mode={entry.mode & 0o7777:04o};"
    return line


def format_time(ns: int) -> str:
    """
    Return *ns* since 1970 as the time-val of RFC 3659, 2.3, with milliseconds when they are not 0.

    Times outside the years 1 to 9999 become the nearest that can be written.
    """
    seconds, rest = divmod(ns, _SECOND_NS)
    milliseconds = rest // 1_000_000
    fraction = f".{milliseconds:03d}" if milliseconds and _FIRST_SECOND <= seconds <= _LAST_SECOND else ""
    return _time_value(seconds) + fraction


def parse_time(text: str) -> int:
    """
    Read a time-val of RFC 3659, 2.3, and return nanoseconds since 1970; digits behind the ninth are dropped.

    Raises: ValueError for another form and for a moment that the calendar does not have.
    """
    match = _TIME_VALUE.fullmatch(text)
    if match is None:
        raise ValueError("Times are written YYYYMMDDHHMMSS[.sss].")
    *numbers, fraction = match.groups("")
    year, month, day, hour, minute, second = map(int, numbers)
    whole = (datetime(year, month, day, hour, minute, second, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
    return whole * _SECOND_NS + int(f"{fraction:0<9.9}")


def is_listable(name: str) -> bool:
    """Tell whether *name* fits in one line: a control character in it could forge another entry."""
    return not wire_text.has_control(name)


def glob_match(name: str, pattern: str) -> bool:
    """
    Tell whether the whole of *name* fits *pattern*: `*`, `?`, `[...]`, `[!...]`, case counts.

    There is no escape character, "[*]" is a star. A pattern longer than MAX_PATTERN fits nothing.
    """
    return len(pattern) <= MAX_PATTERN and _compiled(pattern).match(name) is not None


# A client chooses the pattern, so the steps must be bounded. In what translate() returns each "*" takes the shortest
# run that fits and never reconsiders it, which leaves at most len(name) times len(pattern) steps.
# Not fnmatch(), whose cache of compiled patterns has room for hundreds that a client made up.
@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


class _Day(NamedTuple):
    month_day: str  # "Nov 21"
    month_day_year: str  # "Nov 21  2023", as wide as "Nov 21 03:57"
    digits: str  # "20231121"


# "00:00" to "23:59" and "0000" to "2359", by minute of the day.
_CLOCK = tuple(f"{minute // 60:02d}:{minute % 60:02d}" for minute in range(1440))
_CLOCK_DIGITS = tuple(clock.replace(":", "") for clock in _CLOCK)


@lru_cache(maxsize=4096)
def _day(days: int) -> _Day:
    # Month names by hand: strftime would ask the locale.
    day = date.fromordinal(_EPOCH_ORDINAL + days)
    month_day = f"{_MONTHS[day.month - 1]} {day.day:>2}"
    return _Day(month_day, f"{month_day}  {day.year:04d}", f"{day.year:04d}{day.month:02d}{day.day:02d}")


def _time_value(seconds: int) -> str:
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        seconds = _nearest_second(seconds)
    days, second = divmod(seconds, 86_400)
    return f"{_day(days).digits}{_CLOCK_DIGITS[second // 60]}{second % 60:02d}"


def _nearest_second(seconds: int) -> int:
    # A file system can hold times that no calendar here can write. One such file must not end a whole listing.
    return min(max(seconds, _FIRST_SECOND), _LAST_SECOND)


_FILE_TYPE_BITS = {"-": stat.S_IFREG, "d": stat.S_IFDIR, "l": stat.S_IFLNK, "p": stat.S_IFIFO}


@lru_cache(maxsize=1024)
def _mode_letters(letter: str, mode: int) -> str:
    return stat.filemode(_FILE_TYPE_BITS[letter] | stat.S_IMODE(mode))


def _type_fact(kind: EntryType) -> str:
    if kind is _FILE:
        return "file"
    if kind is _DIRECTORY:
        return "dir"
    return "OS.unix=slink" if kind is _LINK else "OS.unix=other"
