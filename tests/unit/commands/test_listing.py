"""LIST, NLST, MLSD, MLST and STAT with a path: what every parser expects, options, wildcards, and nothing forged."""

from __future__ import annotations

import re

import pytest

from ftpsd.audit.events import DirectoryListed
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.values.direction import Result
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from tests.fakes import MemoryStorage
from tests.memory import File
from tests.sessions import ControlClient, clear_server
from tests.unit.commands.listings import LINE, among, large, tree
from tests.workers import QueueingWorkers

FACTS = re.compile(
    r"type=(file|dir);(size=\d+;)?modify=\d{14}(\.\d+)?;perm=[a-z]*;unique=[^;]+;UNIX\.mode=0\d{3}; (.+)"
)


def listed(client: ControlClient, line: str) -> list[str]:
    """Return the lines that a listing sends."""
    data = client.connect_data()
    client.send(line)
    read = bytearray()
    data.collect(read, until=lambda: not client.pi.is_busy)
    replies = client.replies().split("\n")
    assert [reply[:3] for reply in replies] == ["150", "226"], replies
    lines = (bytes(read) + data.read_all()).decode("utf-8", "surrogateescape").split("\r\n")
    assert lines[-1] == "", "the last line has its end"
    assert not [line for line in lines if "\n" in line or "\r" in line]
    return lines[:-1]


def names(client: ControlClient, line: str) -> list[str]:
    """Return the names that a LIST sends, sorted."""
    matches = [LINE.fullmatch(line) for line in listed(client, line)]
    assert all(matches)
    return sorted(match[2] for match in matches if match is not None)


def refusal(client: ControlClient, line: str) -> str:
    """Return what a listing is refused with before its 150, the data port still agreed."""
    client.agree()
    reply = client.say(line)
    assert client.session.dtp.has_port
    return reply


ALL = ["*star", "-file", ".hidden", "a.csv", "b.csv", "c.txt", "dir"]
CSV = ["a.csv", "b.csv"]


# --- LIST


def test_a_line_of_list() -> None:
    """The form of ls -l, older files with their year."""
    assert listed(among("/file"), "LIST") == ["-rw-------   1 ftp      ftp             4 Jan  2  2024 file"]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("", ALL),
        (" ", ALL),
        (" /", ALL),
        (" .", ALL),
        (" dir", ["inner.csv", "other"]),
        (" dir/", ["inner.csv", "other"]),
        (" /dir", ["inner.csv", "other"]),
        (" a.csv", ["a.csv"]),
        (" dir/other", ["other"]),
    ],
)
def test_what_list_lists(argument: str, expected: list[str]) -> None:
    """A directory's entries, or one file."""
    assert names(tree(), f"LIST{argument}") == expected


@pytest.mark.parametrize("options", ["-a", "-l", "-la", "-al", "-aL", "-1", "-R", "-F", "-a -l", "-l  -a"])
def test_options_are_swallowed(options: str) -> None:
    """Clients send those of ls (WinSCP tries -a first); they change nothing."""
    assert names(tree(), f"LIST {options}") == ALL
    assert names(tree(), f"LIST {options} dir") == ["inner.csv", "other"]
    assert names(tree(), f"LIST {options} *.csv") == CSV


def test_a_file_that_looks_like_an_option() -> None:
    """When there is one of that name, it is meant."""
    assert names(tree(), "LIST -file") == ["-file"]


def test_list_does_not_recurse() -> None:
    """-R is one level: no listing is a bomb."""
    assert "other" not in names(tree(), "LIST -R")


def test_an_empty_directory() -> None:
    """150 and 226 with no lines, never 550 (lftp and FileZilla keep lists of such answers)."""
    client = tree()
    client.say("MKD empty")
    assert listed(client, "LIST empty") == []


@pytest.mark.parametrize("line", ["LIST missing", "NLST missing", "MLSD missing", "LIST -a missing", "LIST no/*.csv"])
def test_what_is_not_there(line: str) -> None:
    """550 before the 150, and the port stays."""
    assert refusal(tree(), line) == "550 No such file or directory."


# --- wildcards


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("*.csv", CSV),
        ("?.csv", CSV),
        ("[a].csv", ["a.csv"]),
        ("[!a].csv", ["b.csv"]),
        ("*", ALL),
        ("*.none", []),
        ("dir/*.csv", ["inner.csv"]),
        ("/dir/*", ["inner.csv", "other"]),
        ("*star", ["*star"]),
        ("../*.csv", CSV),
    ],
)
def test_wildcards(argument: str, expected: list[str]) -> None:
    """In the last component; a file whose name holds a star is found by it."""
    assert names(tree(), f"LIST {argument}") == expected


def test_wildcards_above_the_last_component() -> None:
    """They are part of a name there: one level, no bombs like */*/*."""
    assert refusal(tree(), "LIST */*").startswith("550 ")


def test_a_star_between_slashes_is_a_name() -> None:
    """The bomb */../*/../* is "*" once: what .. takes back was never looked at."""
    assert names(tree(), "LIST */../*/../*.csv") == CSV


def test_a_pattern_that_would_explode() -> None:
    """The matcher's work is bounded."""
    client = among("/" + "a" * 250)
    assert names(client, "LIST " + "*a" * 100 + "b") == []


# --- NLST


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("", ALL),
        (" dir", ["dir/inner.csv", "dir/other"]),
        (" dir/", ["dir/inner.csv", "dir/other"]),
        (" /dir", ["/dir/inner.csv", "/dir/other"]),
        (" -a dir", ["dir/inner.csv", "dir/other"]),
        (" .", ALL),
        (" *.csv", CSV),
        (" dir/*", ["dir/inner.csv", "dir/other"]),
        (" /dir/*.csv", ["/dir/inner.csv"]),
        (" dir/other", ["dir/other"]),
        (" a.csv", ["a.csv"]),
        (" -a", ALL),
    ],
)
def test_names_are_relative_to_the_argument(argument: str, expected: list[str]) -> None:
    """What NLST sends can be sent back in RETR as it is (RFC 1123, 4.1.2.7)."""
    assert sorted(listed(tree(), f"NLST{argument}")) == expected


# --- MLSD and MLST


def test_a_line_of_mlsd() -> None:
    """Facts, each with its semicolon, one space, the name."""
    lines = listed(among("/a b", "/dir/x"), "MLSD")
    assert sorted(FACTS.fullmatch(line)[4] for line in lines) == ["a b", "dir"]  # type: ignore[index]


def test_mlsd_sends_what_was_chosen() -> None:
    """OPTS MLST."""
    client = among("/file")
    client.say("OPTS MLST size;")
    assert listed(client, "MLSD") == ["size=4; file"]


def test_mlsd_without_facts() -> None:
    """A space and the name (RFC 3659, 7.2)."""
    client = among("/file")
    client.say("OPTS MLST")
    assert listed(client, "MLSD") == [" file"]


def test_mlsd_of_a_file() -> None:
    """501: MLSD is for directories only (RFC 3659, 7.2.1)."""
    assert refusal(tree(), "MLSD a.csv").startswith("501 ")


def test_mlsd_takes_names_as_they_are() -> None:
    """No options and no wildcards (RFC 3659, 7.2)."""
    client = tree()
    client.say("MKD -a")
    assert listed(client, "MLSD -a") == []
    assert refusal(client, "MLSD *.csv").startswith("550 ")


def test_mlst() -> None:
    """250-, one space, facts, one space, the whole path, 250 (one space more broke rclone)."""
    reply = among("/dir/file").say("MLST dir/file").split("\n")
    assert (reply[0][:4], reply[-1]) == ("250-", "250 End.")
    match = FACTS.fullmatch(reply[1][1:])
    assert reply[1].startswith(" type=file;size=4;modify=20240102030405;")
    assert match is not None
    assert match[4] == "/dir/file"


@pytest.mark.parametrize("line", ["MLST", "MLST /", "MLST ."])
def test_mlst_of_the_working_directory(line: str) -> None:
    """Without an argument it is meant."""
    reply = tree().say(line).split("\n")
    assert reply[1].startswith(" type=dir;")
    assert reply[1].endswith("; /")


def test_mlst_of_nothing() -> None:
    """550."""
    assert tree().say("MLST missing") == "550 No such file or directory."


# --- what is not shown


@pytest.mark.parametrize("verb", ["LIST", "NLST", "MLSD"])
def test_names_that_forge_lines_are_left_out(verb: str) -> None:
    """CR, LF, escape codes in a name that is on the disk already."""
    client = among("/good")
    for bad in ("a\r\n-rw------- 1 x", "a\nb", "\x1b[2J", "tab\t"):
        client.server.memory.tree.root.children[bad] = File(b"")
    assert [line.rpartition(" ")[2] for line in listed(client, verb)] == ["good"]


def test_a_batch_of_unlistable_names_is_no_end() -> None:
    """A thousand names that are left out do not hide those behind them."""
    client = clear_server().logged_in()
    children = client.server.memory.tree.root.children
    for number in range(1000):
        children[f"\x01{number}"] = File(b"")
    children["good"] = File(b"")
    assert names(client, "LIST") == ["good"]


def test_what_may_not_be_listed() -> None:
    """A user without `list` gets no such directory."""
    storage = GuardedStorage(MemoryStorage(), [Rule("/**", frozenset({Permission.UPLOAD}))])
    client = clear_server(storage=storage).logged_in()
    assert refusal(client, "LIST")[0] == "5"


def test_names_that_are_not_utf8() -> None:
    """Byte for byte."""
    assert names(among("/caf\udce9"), "LIST") == ["caf\udce9"]


# --- large directories and events


@pytest.mark.parametrize("verb", ["LIST", "NLST", "MLSD"])
def test_a_large_directory_is_whole(verb: str) -> None:
    """Read, rendered and sent in pieces; every entry once."""
    lines = listed(large(), verb)
    assert len({line.rpartition(" ")[2] for line in lines}) == len(lines) == 5001


def test_a_listing_is_published() -> None:
    """Path, bytes, entries and result."""
    client = tree()
    lines = listed(client, "LIST dir")
    (event,) = client.server.published(DirectoryListed)
    assert (event.path, event.entries, event.result) == ("/dir", 2, Result.COMPLETE)
    assert event.bytes == sum(len(line) + 2 for line in lines)


def test_a_listing_takes_the_offset() -> None:
    """REST was for the next transfer, and this was it."""
    client = tree()
    client.say("REST 3")
    listed(client, "LIST")
    assert client.session.parameters.take_restart_offset() == 0


def test_listings_run_in_the_files_pool() -> None:
    """Nothing that may block runs in the reactor thread."""
    files = QueueingWorkers()
    client = clear_server(files=files).logged_in()
    client.agree()
    client.send("LIST")
    assert files.waiting == 1
    assert client.replies() == ""
