"""SITE SYMLINK: which two names are meant, what is refused, and what is said of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftpsd.audit.topics.tree_events import LinkMade, QuotaExceeded
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.quota.account import QuotaAccount
from ftpsd.storage.quota.change import QuotaLedger
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.quota import Quota
from ftpsd.values.rule import Rule
from tests.fakes import MemoryStorage
from tests.sessions import ControlClient, clear_server, user_record

MISSING = "550 No such file or directory."


def files() -> ControlClient:
    """Return a client among some files."""
    server = clear_server()
    for path in ("/file", "/two words", '/a"b', "/dir/inner", "/dir/below/deep"):
        server.memory.put(path, path.encode())
    return server.logged_in()


def behind(client: ControlClient, link: str) -> bytes:
    """Return what is in the file that *link* leads to."""
    return client.server.memory.get(link)


@pytest.mark.parametrize(
    ("argument", "link", "target"),
    [
        ("file link", "/link", "/file"),
        ("/dir/inner link", "/link", "/dir/inner"),
        ("dir/inner link", "/link", "/dir/inner"),
        ("./file ./link", "/link", "/file"),
        ("/file dir/link", "/dir/link", "/file"),
        ("/file /dir/below/../link", "/dir/link", "/file"),
        ('"file" "link"', "/link", "/file"),
        ('"two words" "the link"', "/the link", "/two words"),
        ('file "the link"', "/the link", "/file"),
        ('"two words" link', "/link", "/two words"),
        ('"a""b" "c""d"', '/c"d', '/a"b'),
        ("../file link", "/link", "/file"),  # above the root is the root, as everywhere
    ],
)
def test_a_link_is_made(argument: str, link: str, target: str) -> None:
    """The reply says where it leads, and so does the audit log."""
    client = files()
    quoted = [str(VirtualPath.parse(path).quoted()) for path in (link, target)]
    assert client.say(f"SITE SYMLINK {argument}") == f"200 {quoted[0]} leads to {quoted[1]}."
    assert behind(client, link) == target.encode()
    (event,) = client.server.published(LinkMade)
    assert (event.path, event.target) == (link, target)


@pytest.mark.parametrize(
    ("argument", "target"),
    [("inner link", "/dir/inner"), ("below/deep link", "/dir/below/deep"), ("../file link", "/file")],
)
def test_from_where_the_client_is(argument: str, target: str) -> None:
    """In the working directory, relative names mean the same to POSIX and to ProFTPD."""
    client = files()
    client.say("CWD dir")
    assert client.say(f"SITE SYMLINK {argument}").startswith("200 ")
    assert behind(client, "/dir/link") == target.encode()


@pytest.mark.parametrize(
    ("argument", "target"),
    [
        ("inner below/link", MISSING),
        ("../inner below/link", "/dir/inner"),
        ("../inner /dir/below/link", "/dir/inner"),
        ("deep /dir/below/link", "/dir/below/deep"),
        ("deep below/link", "/dir/below/deep"),
        ("../../file below/link", "/file"),
        ("../../../../file below/link", "/file"),
        ("below/deep /link", MISSING),
        ("dir/below/deep /link", "/dir/below/deep"),
        ("dir/below/deep ../link", "/dir/below/deep"),
    ],
)
def test_from_where_the_link_is(argument: str, target: str) -> None:
    """Elsewhere, a relative target counts from the link, as lftp means it, and the reply tells."""
    client = files()
    client.say("CWD dir")
    reply = client.say(f"SITE SYMLINK {argument}")
    assert reply == MISSING or reply.endswith(f' leads to "{target}".')
    assert (reply == MISSING) == (target == MISSING)


@pytest.mark.parametrize(
    "argument",
    [
        "file",
        "file ",
        " file",
        "file  link",
        "file link ",
        "two words link",
        "two words the link",
        "file the link",
        '"two words link',
        '"two words"link',
        '"two words" "link',
        'a"b link',
        '"" link',
        'file ""',
        '"file link"',
        '"file" "link" more',
    ],
)
def test_names_that_cannot_be_told_apart(argument: str) -> None:
    """501 with the form that works, and no guess: lftp sends names with spaces as they are."""
    client = files()
    reply = client.say(f"SITE SYMLINK {argument}")
    assert reply == '501 SITE SYMLINK takes a target and a link, in quotes where there are spaces: "a b" "c d".'
    assert client.server.published(LinkMade) == []


def test_no_argument() -> None:
    """501."""
    assert files().say("SITE SYMLINK").startswith("501 ")


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("none link", MISSING),
        ("/dir/none link", MISSING),
        ("/file none/link", MISSING),
        ("link link", MISSING),
        ("/file/x link", "550 Not a directory."),
        ("/file file/link", "550 Not a directory."),
        ("file file", "550 File exists."),
        ("file dir", "550 File exists."),
        ("file two", "200 "),
        ("/ link", "550 A link cannot lead to a directory that it is in."),
        ("/dir dir/link", "550 A link cannot lead to a directory that it is in."),
        ("/dir dir/below/link", "550 A link cannot lead to a directory that it is in."),
        ("file .ftpsd-x", "553 "),
        (".ftpsd-x link", MISSING),
        ("file a\x1bb", "553 "),
        ("a\x1bb file", "553 "),
        ("file " + "x" * 300, "553 "),
        ("file /", "550 File exists."),
    ],
)
def test_what_is_answered(argument: str, reply: str) -> None:
    """Refusals have their reasons, and change nothing."""
    client = files()
    before = sorted(client.server.memory.tree.root.children)
    assert client.say(f"SITE SYMLINK {argument}").startswith(reply)
    if not reply.startswith("200"):
        assert sorted(client.server.memory.tree.root.children) == before
        assert client.server.published(LinkMade) == []


@pytest.mark.parametrize("verb", ["DELE link", "RMD link"])
def test_removing_a_link(verb: str) -> None:
    """DELE removes a link to a directory, RMD does not; the directory stays."""
    client = files()
    client.say("SITE SYMLINK dir link")
    assert client.say(verb)[:3] == {"DELE": "250", "RMD ": "550"}[verb[:4]]
    assert behind(client, "/dir/inner") == b"/dir/inner"


def test_through_a_link() -> None:
    """CWD, SIZE and MLST take it for what it leads to."""
    client = files()
    client.say("SITE SYMLINK dir/below link")
    assert [client.say(line)[:3] for line in ("CWD link", "SIZE deep")] == ["250", "213"]
    assert "type=dir;" in client.say("MLST /link").lower()


def test_where_links_are_not_followed(tmp_path: Path) -> None:
    """symlinks: none. 550 with the reason, and no line in FEAT."""
    (tmp_path / "file").write_bytes(b"data")
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(), owner="alice", symlinks="none")
    client = clear_server(storage=jail, symlinks="none").logged_in()
    assert client.say("SITE SYMLINK file link") == "550 Links are not followed here, so none is made."
    assert " SITE SYMLINK" not in client.say("FEAT").split("\n")
    assert os.listdir(tmp_path) == ["file"]


def test_feat() -> None:
    """lftp makes links where FEAT has this line."""
    assert " SITE SYMLINK" in files().say("FEAT").split("\n")


@pytest.mark.parametrize(
    ("rules", "reply"),
    [
        ([Rule("/**", frozenset(Permission))], "200 "),
        ([Rule("/**", frozenset({Permission.LIST, Permission.UPLOAD}))], "200 "),
        ([Rule("/**", frozenset(Permission) - {Permission.UPLOAD})], "550 Permission denied."),
        ([Rule("/**", frozenset({Permission.UPLOAD}))], MISSING),
        (
            [Rule("/dir/**", frozenset({Permission.LIST})), Rule("/**", frozenset(Permission))],
            "550 Permission denied.",
        ),
    ],
)
def test_permissions(rules: list[Rule], reply: str) -> None:
    """It needs upload, list or read, and rules that are the same for every name."""
    memory = MemoryStorage()
    memory.put("/file", b"data")
    client = clear_server(storage=GuardedStorage(memory, rules)).logged_in()
    assert client.say("SITE SYMLINK file link").startswith(reply)


def test_a_quota(tmp_path: Path) -> None:
    """A link is a file; 552, and the operator learns of it."""
    account = QuotaAccount(tmp_path)
    account.count()
    ledger = QuotaLedger(account, Quota(files=1))
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(), owner="alice", ledger=ledger)
    (tmp_path / "dir").mkdir()
    client = clear_server(storage=jail).logged_in()
    assert client.say("SITE SYMLINK dir link").startswith("200 ")
    assert client.say("SITE SYMLINK dir other") == "552 Quota exceeded."
    assert [event.command for event in client.server.published(QuotaExceeded)] == ["SITE SYMLINK"]


def test_names_in_the_clients_encoding() -> None:
    """A letter with a backslash or a quote's byte in it is one letter."""
    server = clear_server(user=user_record(encoding="gbk"))
    server.memory.put("/乗 中", b"data")
    client = server.connect()
    client.log_in()
    client.send_bytes('SITE SYMLINK "乗 中" 文'.encode("gbk") + b"\r\n")
    answer = client.replies().encode("utf-8", "surrogateescape")
    assert answer == '200 "/文" leads to "/乗 中".'.encode("gbk")
    assert server.memory.get("/文") == b"data"
