"""
Listings: one directory entry as a LIST line or as MLSx facts (RFC 959, 4.1.3; RFC 3659).

Times are UTC, always: clients assume it or ask for MDTM to find the offset. Owner and group are written as "ftp", so a
listing discloses nothing about the accounts of the host.
Names go out as they are; callers leave out those that are not `is_listable`.
A directory can hold a million entries, so lines are made many at a time, and the parts that repeat (mode strings, days,
minutes) are made once: a line of LIST takes 0.5 us, of MLSD 0.6, a third of the time of a function for each line.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from fnmatch import translate
from functools import lru_cache
from typing import Final, NamedTuple

from ftpsd.values.entry import Entry, EntryType

ALL_FACTS: Final[tuple[str, ...]] = ("type", "size", "modify", "perm", "unique", "UNIX.mode")

# In characters. A name has at most 255 bytes; a pattern beyond this has no use but to cost something.
MAX_PATTERN = 1024

_SECOND_NS = 1_000_000_000
_MINUTE_NS = 60 * _SECOND_NS
_DAY_NS = 86_400 * _SECOND_NS
# The borders of ls: about half a year back, and ahead no more than clocks and time zones can differ.
_RECENT_NS = 182 * _DAY_NS
_AHEAD_NS = _DAY_NS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = _EPOCH.toordinal()
_FIRST_SECOND = (date.min.toordinal() - _EPOCH_ORDINAL) * 86_400
_LAST_SECOND = (date.max.toordinal() - _EPOCH_ORDINAL + 1) * 86_400 - 1
_FIRST_NS, _LAST_NS = _FIRST_SECOND * _SECOND_NS, (_LAST_SECOND + 1) * _SECOND_NS - 1
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME_VALUE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})(?:\.([0-9]+))?")


# Read once: finding a member through its class costs more than the comparison.
_FILE, _DIRECTORY, _LINK = EntryType.FILE, EntryType.DIRECTORY, EntryType.LINK


def list_lines(entries: Iterable[Entry], now_ns: int) -> list[str]:
    """Return the lines of *entries* in the form of `ls -l`, without line ends; *now_ns* chooses clock or year."""
    oldest, newest = max(now_ns - _RECENT_NS, _FIRST_NS), min(now_ns + _AHEAD_NS, _LAST_NS)
    lines = []
    for name, kind, size, modified_ns, mode, _, links, _ in entries:
        minute = _minute(modified_ns // _MINUTE_NS)
        when = minute.month_day_clock if oldest <= modified_ns <= newest else minute.month_day_year
        # rjust: a width in an f-string, or %8d, takes 100 ns more.
        lines.append(f"{_list_start(kind, mode, links)} {str(size).rjust(8)} {when} {name}")
    return lines


def list_line(entry: Entry, now_ns: int) -> str:
    """Return the line of one *entry*, see list_lines."""
    return list_lines((entry,), now_ns)[0]


@lru_cache(maxsize=1024)
def _list_start(kind: EntryType, mode: int, links: int) -> str:
    """Return a line of LIST up to the group."""
    # "p" for an entry that is neither file nor directory: every list parser knows it, and none offers to download it.
    letter = "-" if kind is _FILE else "d" if kind is _DIRECTORY else "l" if kind is _LINK else "p"
    return f"{stat.filemode(_FILE_TYPE_BITS[letter] | stat.S_IMODE(mode))} {links:>3} ftp      ftp     "


def mlsd_lines(entries: Iterable[Entry], wanted: Collection[str]) -> list[str]:
    """Return the lines of *entries* for MLSD, without line ends: the *wanted* facts, a space, the name."""
    chosen = frozenset(wanted)
    lines = []
    for name, kind, size, modified_ns, mode, file, _, perm in entries:
        if not _FIRST_NS <= modified_ns <= _LAST_NS:
            modified_ns = _nearest_second(modified_ns // _SECOND_NS) * _SECOND_NS
        minute, rest = divmod(modified_ns, _MINUTE_NS)
        form = _mlsd_form(chosen, kind, mode, perm, file is not None)
        device, inode = file or _NO_FILE
        lines.append(form % (size, _minute(minute).digits, _SECONDS[rest // _SECOND_NS], device, inode, name))
    return lines


@lru_cache(maxsize=1024)
def _mlsd_form(wanted: frozenset[str], kind: EntryType, mode: int, perm: str, has_file: bool) -> str:
    """Return the form of a line: the parts that many entries share, and places for the rest, empty where unwanted."""
    nothing = "%.0s"
    known = Entry("", kind, 0, 0, mode, None, 1, perm)
    parts = [
        facts(known, wanted & {"type"}),
        "size=%d;" if "size" in wanted and kind is not _DIRECTORY else nothing,
        "modify=%s%s;" if "modify" in wanted else nothing * 2,
        facts(known, wanted & {"perm"}),
        "unique=%xg%x;" if "unique" in wanted and has_file else nothing * 2,
        facts(known, wanted & {"UNIX.mode"}),
    ]
    return "".join(parts) + " %s"


def facts(entry: Entry, wanted: Collection[str], type_name: str | None = None) -> str:
    """
    Return the *wanted* facts of *entry*, each ending in ";", in the order of ALL_FACTS.

    *wanted* holds names as ALL_FACTS spells them. *type_name* takes the place of the type: "cdir", "pdir". A fact
    that is not known, and the size of a directory (RFC 3659, 7.5.7), is left out.
    """
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


def glob_match(name: str, pattern: str) -> bool:
    """
    Return whether the whole of *name* fits *pattern*: `*`, `?`, `[...]`, `[!...]`, case counts.

    There is no escape character, "[*]" is a star. A pattern longer than MAX_PATTERN fits nothing.
    """
    return len(pattern) <= MAX_PATTERN and _compiled(pattern).match(name) is not None


# A client chooses the pattern, so the steps must be bounded. In the expression of translate() each "*" takes the
# shortest run that fits and never reconsiders it, which leaves at most len(name) times len(pattern) steps.
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
_SECONDS = tuple(f"{second:02d}" for second in range(60))
_NO_FILE = (0, 0)


@lru_cache(maxsize=4096)
def _day(days: int) -> _Day:
    # Month names by hand: strftime would ask the locale.
    day = date.fromordinal(_EPOCH_ORDINAL + days)
    month_day = f"{_MONTHS[day.month - 1]} {day.day:>2}"
    return _Day(month_day, f"{month_day}  {day.year:04d}", f"{day.year:04d}{day.month:02d}{day.day:02d}")


class _Minute(NamedTuple):
    month_day_clock: str  # "Nov 21 03:57"
    month_day_year: str
    digits: str  # "202311210357"


@lru_cache(maxsize=4096)
def _minute(minutes: int) -> _Minute:
    """Return how the minute so many minutes after 1970 is written, the nearest that can be where it cannot."""
    days, second = divmod(_nearest_second(minutes * 60), 86_400)
    day, minute = _day(days), second // 60
    return _Minute(f"{day.month_day} {_CLOCK[minute]}", day.month_day_year, f"{day.digits}{_CLOCK_DIGITS[minute]}")


def _time_value(seconds: int) -> str:
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        seconds = _nearest_second(seconds)
    days, second = divmod(seconds, 86_400)
    return f"{_day(days).digits}{_CLOCK_DIGITS[second // 60]}{second % 60:02d}"


def _nearest_second(seconds: int) -> int:
    # A file system can hold times that no calendar here can write. One such file must not end a whole listing.
    return min(max(seconds, _FIRST_SECOND), _LAST_SECOND)


_FILE_TYPE_BITS = {"-": stat.S_IFREG, "d": stat.S_IFDIR, "l": stat.S_IFLNK, "p": stat.S_IFIFO}


def _type_fact(kind: EntryType) -> str:
    if kind is _FILE:
        return "file"
    if kind is _DIRECTORY:
        return "dir"
    return "OS.unix=slink" if kind is _LINK else "OS.unix=other"
