"""Listings: LIST lines, MLSx facts, time values."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.values.entry import Entry, EntryType, is_listable, listable
from ftpsd.wire.list_lines import ALL_FACTS, facts, format_time, list_line, list_lines, mlsd_lines, parse_time

SECOND = 1_000_000_000
DAY = 86_400 * SECOND


def ns(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * SECOND


NOW = ns(2023, 11, 22, 12, 0)
ENTRY = Entry("name", EntryType.FILE, 1234, ns(2023, 11, 21, 3, 57), 0o644, (0xFD01, 0x2A), 1, "adfrw")


def test_list_line() -> None:
    """The line is that of `ls -l`, column for column, which list parsers count on."""
    assert list_line(ENTRY, NOW) == "-rw-r--r--   1 ftp      ftp          1234 Nov 21 03:57 name"


@pytest.mark.parametrize(
    ("kind", "mode", "letters"),
    [
        (EntryType.FILE, 0o4755, "-rwsr-xr-x"),
        (EntryType.DIRECTORY, 0o1777, "drwxrwxrwt"),
        (EntryType.LINK, 0o777, "lrwxrwxrwx"),
        (EntryType.OTHER, 0o600, "prw-------"),
        (EntryType.FILE, 0o040755, "-rwxr-xr-x"),
    ],
)
def test_mode_letters(kind: EntryType, mode: int, letters: str) -> None:
    """The first letter is the entry's type, whatever file type bits the mode holds."""
    assert list_line(ENTRY._replace(type=kind, mode=mode), NOW).split()[0] == letters


@pytest.mark.parametrize(
    ("age", "when"),
    [
        (0, "Nov 22 12:00"),
        (182 * DAY, "May 24 12:00"),
        (182 * DAY + 1, "May 24  2023"),
        (-DAY, "Nov 23 12:00"),
        (-DAY - 1, "Nov 23  2023"),
        (3 * 365 * DAY, "Nov 22  2020"),
    ],
)
def test_year_or_clock(age: int, when: str) -> None:
    """Half a year back and a day ahead the clock is shown, beyond it the year."""
    assert f" {when} name" in list_line(ENTRY._replace(modified_ns=NOW - age), NOW)


def test_day_is_padded_with_a_space() -> None:
    """Days below ten take two columns, as `ls` writes them."""
    assert " Nov  1 00:00 " in list_line(ENTRY._replace(modified_ns=ns(2023, 11, 1)), NOW)


ENTRIES = st.lists(
    st.builds(
        Entry,
        name=st.text(),
        type=st.sampled_from(EntryType),
        size=st.integers(0, 1 << 63),
        modified_ns=st.integers() | st.integers(NOW - 400 * DAY, NOW + 2 * DAY),
        mode=st.integers(0, 0o7777),
        file=st.none() | st.tuples(st.integers(0, 1 << 32), st.integers(0, 1 << 64)),
        links=st.integers(1, 10_000),
        perm=st.text("adefrwlmcp"),
    )
)


@given(ENTRIES, st.sets(st.sampled_from(ALL_FACTS)))
def test_lines_of_mlsd_are_facts_and_a_name(entries: list[Entry], wanted: set[str]) -> None:
    """Many at a time they are what MLST says of each, whatever stands in a name."""
    assert mlsd_lines(entries, wanted) == [f"{facts(entry, wanted)} {entry.name}" for entry in entries]


@given(ENTRIES)
def test_lines_of_list_do_not_depend_on_each_other(entries: list[Entry]) -> None:
    """A batch is its entries one by one."""
    assert list_lines(entries, NOW) == [list_line(entry, NOW) for entry in entries]


@given(st.lists(st.text("ab\r\n\x7f\x85\u2028é")))
def test_what_can_be_listed_of_a_batch(names: list[str]) -> None:
    """A look at all names at once leaves out those that a look at each does."""
    entries = [ENTRY._replace(name=name) for name in names]
    assert listable(entries) == [entry for entry in entries if is_listable(entry.name)]


def test_names_are_exact() -> None:
    """Spaces around a name are part of it."""
    assert list_line(ENTRY._replace(name=" a  b "), NOW).endswith("03:57  a  b ")


def test_large_sizes() -> None:
    """A size beyond its column widens the line and loses nothing."""
    assert " ftp      5000000000000 Nov " in list_line(ENTRY._replace(size=5_000_000_000_000), NOW)


@given(st.integers(), st.integers())
def test_every_time_can_be_listed(modified_ns: int, now_ns: int) -> None:
    """No time a file system can hold ends a listing."""
    entry = ENTRY._replace(modified_ns=modified_ns)
    assert re.search(r" [A-Z][a-z]{2} [ 123][0-9] ([0-9]{2}:[0-9]{2}| [0-9]{4}) name$", list_line(entry, now_ns))
    assert re.fullmatch(r"modify=[0-9]{14};", facts(entry, ["modify"]))


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))
def test_times_agree_with_the_calendar(moment: datetime) -> None:
    """Days, minutes and seconds are those of the calendar, leap years included."""
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    modified = int(moment.timestamp()) * SECOND
    line = list_line(ENTRY._replace(modified_ns=modified), modified)
    assert (format_time(modified), line[-17:-5]) == (
        f"{moment:%Y%m%d%H%M%S}",
        f"{moment:%b} {moment.day:>2} {moment:%H:%M}",
    )


def test_all_facts() -> None:
    """Each fact ends with a semicolon, in the order of FEAT."""
    assert facts(ENTRY, ALL_FACTS) == (
        "type=file;size=1234;modify=20231121035700;perm=adfrw;unique=fd01g2a;UNIX.mode=0644;"
    )


def test_wanted_facts_only() -> None:
    """OPTS MLST chooses; the order stays ours."""
    assert facts(ENTRY, {"size", "type"}) == "type=file;size=1234;"
    assert facts(ENTRY, ()) == ""


def test_facts_not_known_are_left_out() -> None:
    """An empty fact would state that nothing is permitted."""
    assert facts(ENTRY._replace(perm="", file=None), ["type", "perm", "unique"]) == "type=file;"


def test_a_directory_has_no_size_fact() -> None:
    """The size fact is for files (RFC 3659, 7.5.7)."""
    assert facts(ENTRY._replace(type=EntryType.DIRECTORY), ["type", "size"]) == "type=dir;"


@pytest.mark.parametrize(
    ("kind", "fact"),
    [
        (EntryType.FILE, "type=file;"),
        (EntryType.DIRECTORY, "type=dir;"),
        (EntryType.OTHER, "type=OS.unix=other;"),
        (EntryType.LINK, "type=OS.unix=slink;"),
    ],
)
def test_type_fact(kind: EntryType, fact: str) -> None:
    """Types have the names that clients know."""
    assert facts(ENTRY._replace(type=kind), ["type"]) == fact


def test_type_name_replaces_the_type() -> None:
    """MLSD marks the listed directory itself and its parent."""
    assert facts(ENTRY._replace(type=EntryType.DIRECTORY), ["type"], "cdir") == "type=cdir;"


def test_modify_has_whole_seconds() -> None:
    """The fraction of a modification time is cut off, not rounded up."""
    assert facts(ENTRY._replace(modified_ns=ns(2023, 11, 21) + SECOND - 1), ["modify"]) == "modify=20231121000000;"


def test_mode_fact_has_permission_bits_only() -> None:
    """File type bits do not show in UNIX.mode."""
    assert facts(ENTRY._replace(mode=0o100640), ["UNIX.mode"]) == "UNIX.mode=0640;"


@pytest.mark.parametrize(
    ("fraction", "text"), [(0, "20231121035700"), (5_000_000, "20231121035700.005"), (999_999, "20231121035700")]
)
def test_format_time(fraction: int, text: str) -> None:
    """Milliseconds are written only when there are any."""
    assert format_time(ENTRY.modified_ns + fraction) == text


@given(st.integers(ns(1, 1, 1), ns(9999, 12, 31, 23, 59, 59)))
def test_time_round_trip(moment: int) -> None:
    """What MDTM tells is what MFMT sets, to the millisecond, before 1970 too."""
    assert parse_time(format_time(moment)) == moment - moment % 1_000_000


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(".5", 500_000_000), (".123", 123_000_000), (".000000001", 1), (".1234567899", 123_456_789)],
)
def test_fractions_of_any_length(fraction: str, expected: int) -> None:
    """RFC 3659 sets no number of digits; nanoseconds are kept."""
    assert parse_time("19700101000000" + fraction) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2023112103570",
        "202311210357001",
        "20230229000000",
        "20231301000000",
        "20231121240000",
        "20231121006000",
        "00000101000000",
        "20231121035700.",
        "20231121035700.x",
        " 20231121035700",
        "20231121035700\n",
        "٢0231121035700",
    ],
)
def test_bad_times_are_refused(text: str) -> None:
    """Other forms, other digits and dates the calendar does not have are refused."""
    with pytest.raises(ValueError):
        parse_time(text)


def test_leap_day() -> None:
    """The 29th of February exists in leap years."""
    assert parse_time("20240229000000") == ns(2024, 2, 29)


@pytest.mark.parametrize(
    ("name", "listable"), [("a b", True), ("é", True), ("\udcff", True), ("a\r\nb", False), ("\x1b[2J", False)]
)
def test_is_listable(name: str, listable: bool) -> None:
    """A name that could forge a line or drive a terminal is not listed."""
    assert is_listable(name) is listable
