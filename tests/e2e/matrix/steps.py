"""
The scenario: what every client is to do, and how it shows that it was done.

A step gets a user and a home of its own. `prepare` lays out files on both sides, `check` looks at them afterwards.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.matrix.client import Client, Data, Operation
from tests.e2e.programs.files import MIB, digest, make_file

SIZE = 5 * MIB
HALF = 2 * MIB + 12_345
STAMP = 1_600_000_000
UTF8 = "grüße aus 東京 № 1.txt"
NAMES = {"one.txt", UTF8, "folder"}
HUNDRED = 100

LIST_LINE = re.compile(r"^[-dl][-rwxsStT]{9}[.+]?(?:\s+\S+){7} (.*)$")
MLSD_LINE = re.compile(r"^(?:[\w.-]+=[^;]*;)+ (.*)$")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step happens: the client's folder, the user's home, and what the server's log has about the user."""

    work: Path
    home: Path
    log: Callable[[], list[dict[str, Any]]]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events *name* of this user, oldest first."""
        return [event for event in self.log() if event["event"] == name]

    @property
    def open_sessions(self) -> set[str]:
        """The sessions of this user that have neither said QUIT nor ended: the log is not whole yet."""
        quits = [event for event in self.events("command") if event["command"] == "QUIT"]
        ended = {event["session"] for event in [*quits, *self.events("session-closed")]}
        return {event["session"] for event in self.events("logged-in")} - ended

    def commands(self) -> set[str]:
        """Return the verbs that were answered well."""
        return {event["command"] for event in self.events("command") if event["code"] < 400}


Check = Callable[[Place, Client, str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: *title* heads its column; *operations* depend on the client only where it cannot upload."""

    name: str
    title: str
    prepare: Callable[[Place], None]
    operations: Callable[[Client], tuple[Operation, ...]]
    check: Check
    data: Data = "passive"


def always(*operations: Operation) -> Callable[[Client], tuple[Operation, ...]]:
    """Return *operations*, whatever the client."""
    return lambda client: operations


def names(said: str) -> set[str]:
    """Return the names in a listing, as LIST, MLSD or NLST show them."""
    lines = [line.rstrip("\r") for line in said.splitlines() if line.strip() and not line.startswith("total ")]
    matches = [(line, LIST_LINE.match(line) or MLSD_LINE.match(line)) for line in lines]
    return {(match[1] if match else line).strip("/") for line, match in matches}


# --- files on both sides


def no_files(place: Place) -> None:
    """Lay out nothing."""


def local(size: int) -> Callable[[Place], None]:
    """Lay out `source` on the client's side."""
    return lambda place: void(make_file(place.work / "source", size))


def void(_value: object) -> None:
    """Forget a value."""


def remote(place: Place) -> None:
    """Lay out `file` on the server, with a time long ago."""
    make_file(place.home / "file", SIZE)
    os.utime(place.home / "file", (STAMP, STAMP))


def remote_three(place: Place) -> None:
    """Lay out files of every size on the server."""
    for name, size in (("empty", 0), ("byte", 1), ("file", SIZE)):
        make_file(place.home / name, size)


def remote_names(place: Place) -> None:
    """Lay out names that are not all plain, one of them a folder."""
    for name in NAMES:
        (place.home / name).mkdir() if name == "folder" else (place.home / name).write_text(name)


def half_down(place: Place) -> None:
    """Lay out a whole file on the server, and half of it on the client's side."""
    whole = make_file(place.home / "file", SIZE)
    (place.work / "got").write_bytes(whole.read_bytes()[:HALF])


def half_up(place: Place) -> None:
    """Lay out a whole file on the client's side, and half of it on the server."""
    whole = make_file(place.work / "source", SIZE)
    (place.home / "file").write_bytes(whole.read_bytes()[:HALF])


def hundred_files(place: Place) -> None:
    """Lay out a hundred small files, on both sides under different names."""
    (place.work / "many").mkdir()
    for number in range(HUNDRED):
        make_file(place.work / "many" / f"up{number:02}", 1000 + number)
        make_file(place.home / f"down{number:02}", 1000 + number)


def hundred_operations(client: Client) -> tuple[Operation, ...]:
    """A hundred uploads, or fewer where the client is slow, or downloads where the client can only download."""
    if client.uploads:
        return tuple(("put", f"many/up{number:02}", f"up{number:02}") for number in range(client.many))
    return tuple(("get", f"down{number:02}", f"down{number:02}") for number in range(client.many))


# --- looking at what came of it


def logged_in(place: Place, client: Client, said: str) -> None:
    assert place.events("logged-in")


def made(place: Place, client: Client, said: str) -> None:
    assert (place.home / "folder").is_dir()


def stored(place: Place, client: Client, said: str) -> None:
    assert digest(place.home / "target") == digest(place.work / "source")


def stored_utf8(place: Place, client: Client, said: str) -> None:
    assert digest(place.home / UTF8) == digest(place.work / "source")


def fetched_utf8(place: Place, client: Client, said: str) -> None:
    assert digest(place.work / "got") == digest(place.home / UTF8)


def fetched_three(place: Place, client: Client, said: str) -> None:
    for name in ("empty", "byte", "file"):
        assert digest(place.work / f"got-{name}") == digest(place.home / name)


def listed(verb: str) -> Check:
    """Return a check for all names in a listing that *verb* asked for."""

    def check(place: Place, client: Client, said: str) -> None:
        assert names(said) == NAMES, said
        assert verb in place.commands()

    return check


def sized(place: Place, client: Client, said: str) -> None:
    assert said.strip() == str(SIZE)


def timed(place: Place, client: Client, said: str) -> None:
    assert said.strip() == str(STAMP)


def went_on_down(place: Place, client: Client, said: str) -> None:
    assert digest(place.work / "got") == digest(place.home / "file")
    assert [event["bytes"] for event in place.events("file-sent")] == [SIZE - HALF]


def went_on_up(place: Place, client: Client, said: str) -> None:
    assert digest(place.home / "file") == digest(place.work / "source")
    assert [event["bytes"] for event in place.events("file-stored")] == [SIZE - HALF]


def renamed(place: Place, client: Client, said: str) -> None:
    assert sorted(path.name for path in place.home.iterdir()) == ["new name"]


def deleted(place: Place, client: Client, said: str) -> None:
    assert list(place.home.iterdir()) == []


def active(verb: str) -> Check:
    """Return a check for a file that went up, or down, over a connection the server made."""

    def check(place: Place, client: Client, said: str) -> None:
        if client.uploads:
            assert digest(place.home / "target") == digest(place.work / "source")
        assert digest(place.work / "got") == digest(place.home / "file")
        assert verb in place.commands()
        assert not {"PASV", "EPSV"} & place.commands()

    return check


def active_files(place: Place) -> None:
    """Lay out a file on either side."""
    make_file(place.work / "source", MIB)
    make_file(place.home / "file", MIB)


def active_operations(client: Client) -> tuple[Operation, ...]:
    """Up and down, or down alone."""
    up = (("put", "source", "target"),) if client.uploads else ()
    return (*up, ("get", "file", "got"))


def hundred_done(place: Place, client: Client, said: str) -> None:
    for number in range(client.many):
        if client.uploads:
            assert digest(place.home / f"up{number:02}") == digest(place.work / "many" / f"up{number:02}")
        else:
            assert digest(place.work / f"down{number:02}") == digest(place.home / f"down{number:02}")
    assert len(place.events("logged-in")) <= client.sessions


UP: Operation = ("put", "source", "target")
UTF8_UP: Operation = ("put", "source", UTF8)
THREE_DOWN: tuple[Operation, ...] = tuple(("get", name, f"got-{name}") for name in ("empty", "byte", "file"))
UTF8_DOWN: Operation = ("get", UTF8, "got")

STEPS: tuple[Step, ...] = (
    Step("login", "log in", no_files, always(), logged_in),
    Step("mkdir", "mkdir", no_files, always(("mkdir", "folder")), made),
    Step("put-0", "upload 0 B", local(0), always(UP), stored),
    Step("put-1", "upload 1 B", local(1), always(UP), stored),
    Step("put-5M", "upload 5 MiB", local(SIZE), always(UP), stored),
    Step("put-utf8", "upload a UTF-8 name with spaces", local(1000), always(UTF8_UP), stored_utf8),
    Step("get", "download 0 B, 1 B, 5 MiB", remote_three, always(*THREE_DOWN), fetched_three),
    Step("get-utf8", "download a UTF-8 name with spaces", remote_names, always(UTF8_DOWN), fetched_utf8),
    Step("LIST", "LIST", remote_names, always(("list",)), listed("LIST")),
    Step("NLST", "NLST", remote_names, always(("nlst",)), listed("NLST")),
    Step("MLSD", "MLSD", remote_names, always(("mlsd",)), listed("MLSD")),
    Step("size", "size", remote, always(("size", "file")), sized),
    Step("time", "time", remote, always(("time", "file")), timed),
    Step("reget", "resume a download", half_down, always(("reget", "file", "got")), went_on_down),
    Step("reput", "resume an upload", half_up, always(("reput", "source", "file")), went_on_up),
    Step("rename", "rename", remote, always(("rename", "file", "new name")), renamed),
    Step("delete", "delete", remote, always(("delete", "file")), deleted),
    Step("PORT", "active, PORT", active_files, active_operations, active("PORT"), "PORT"),
    Step("EPRT", "active, EPRT", active_files, active_operations, active("EPRT"), "EPRT"),
    Step("hundred", "100 files, one session", hundred_files, hundred_operations, hundred_done),
)
