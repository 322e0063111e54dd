"""PRET: the answer the transfer would have, before it costs a data port."""

from __future__ import annotations

import pytest

from ftpsd.storage.guarded import GuardedStorage
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from tests.fakes import MemoryStorage
from tests.sessions import ControlClient, clear_server

MISSING = "550 No such file or directory."
DENIED = "550 Permission denied."


def files(*allowed: Permission) -> ControlClient:
    """Return a client who may do this, everything where nothing is named, among some files."""
    memory = MemoryStorage()
    memory.put("/file", b"data")
    memory.put("/dir/inner", b"inner")
    rules = [Rule("/**", frozenset(allowed))] if allowed else None
    server = clear_server(storage=GuardedStorage(memory, rules))
    server.memory = memory
    return server.logged_in()


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("RETR file", "200 Ready for RETR, send PASV or EPSV."),
        ("retr file", "200 Ready for RETR, send PASV or EPSV."),
        ("RETR missing", MISSING),
        ("RETR dir", "550 Is a directory."),
        ("STOR new", "200 Ready for STOR, send PASV or EPSV."),
        ("STOR file", "200 Ready for STOR, send PASV or EPSV."),
        ("STOR dir", "550 Is a directory."),
        ("STOR file/new", "550 Not a directory."),
        ("APPE file", "200 Ready for APPE, send PASV or EPSV."),
        ("STOU", "200 Ready for STOU, send PASV or EPSV."),
        ("LIST", "200 Ready for LIST, send PASV or EPSV."),
        ("LIST -la", "200 Ready for LIST, send PASV or EPSV."),
        ("NLST *.txt", "200 Ready for NLST, send PASV or EPSV."),
        ("MLSD", "200 Ready for MLSD, send PASV or EPSV."),
        ("MLSD dir", "200 Ready for MLSD, send PASV or EPSV."),
        ("MLSD file", "501 Not a directory; MLST describes a file."),
        ("MLSD missing", MISSING),
    ],
)
def test_answers(argument: str, reply: str) -> None:
    """200, or what the transfer would be answered."""
    assert files().say(f"PRET {argument}") == reply


@pytest.mark.parametrize("argument", ["NOOP", "DELE file", "XYZZY", "MLST file"])
def test_what_is_no_transfer(argument: str) -> None:
    """501."""
    assert files().say(f"PRET {argument}").startswith("501 ")


@pytest.mark.parametrize("argument", ["STOR new", "STOR file", "APPE file", "APPE new"])
def test_what_a_reader_may_not(argument: str) -> None:
    """550 before the port."""
    assert files(Permission.LIST, Permission.READ).say(f"PRET {argument}") == DENIED


def test_overwriting_and_appending_are_told_apart() -> None:
    """Each has its permission."""
    client = files(Permission.LIST, Permission.UPLOAD, Permission.APPEND)
    assert client.say("PRET STOR file") == DENIED
    assert client.say("PRET APPE file").startswith("200 ")


def test_who_may_only_upload_is_not_refused() -> None:
    """A drop box shows nothing; that nothing is seen there is no reason."""
    client = files(Permission.UPLOAD)
    assert client.say("PRET STOR new").startswith("200 ")
    assert client.say("PRET STOR dir/new").startswith("200 ")


def test_nothing_is_begun() -> None:
    """A partial that waits to be resumed is still there, and no port is reserved."""
    client = files()
    data = client.connect_data()
    client.say("STOR new")
    data.send(b"first ")
    client.server.reactor.settle()
    client.say("ABOR")
    client.say("PRET STOR new")
    assert client.say("SIZE new") == "213 6"
    assert client.server.memory.tree.active == set()
    assert not client.session.dtp.has_port


def test_feat() -> None:
    """Where it is listed lftp sends it before every file, which slows its mirror down: it is there for who asks."""
    assert " PRET" not in files().say("FEAT").split("\n")
