"""Files and directories: replies clients parse, refusals, and the events of what was changed."""

from __future__ import annotations

import pytest

from ftpsd.audit.topics.tree_events import DirectoryMade, DirectoryRemoved, FileChanged, FileDeleted, FileRenamed
from ftpsd.storage.base import StorageError
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from tests.fakes import MemoryStorage
from tests.sessions import ControlClient, clear_server

MISSING = "550 No such file or directory."
# 2024-01-02 03:04:05 UTC, in nanoseconds.
MOMENT = 1_704_164_645 * 1_000_000_000
LONG_NAME = "n" * 250


def files() -> ControlClient:
    """Return a client among some files."""
    server = clear_server()
    server.memory.put("/file", b"data")
    server.memory.put("/dir/inner", b"inner data")
    server.memory.make_directory(VirtualPath.parse("/empty"))
    server.memory.set_modified(VirtualPath.parse("/file"), MOMENT)
    return server.logged_in()


def reader() -> ControlClient:
    """Return a client who may look and nothing else."""
    memory = MemoryStorage()
    memory.put("/file", b"data")
    storage = GuardedStorage(memory, [Rule("/**", frozenset({Permission.LIST, Permission.READ}))])
    return clear_server(storage=storage).logged_in()


def modified(client: ControlClient, path: str) -> int:
    return client.server.memory.stat(VirtualPath.parse(path)).modified_ns


# --- directories


def test_pwd() -> None:
    """257, the path in quotes and beginning with / (curl guesses OS/400 else)."""
    assert files().say("PWD") == '257 "/" is the working directory.'


def test_pwd_doubles_quotes() -> None:
    """RFC 959, appendix II."""
    client = files()
    client.say('MKD say "hi"')
    client.say('CWD say "hi"')
    assert client.say("PWD") == '257 "/say ""hi""" is the working directory.'


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        (["CWD dir"], "/dir"),
        (["CWD /dir/"], "/dir"),
        (["CWD dir", "CWD ."], "/dir"),
        (["CWD dir", "CWD .."], "/"),
        (["CWD dir", "CDUP"], "/"),
        (["CDUP"], "/"),
        (["CWD ../../.."], "/"),
        (["CWD dir", "CWD ../empty"], "/empty"),
        (["XCWD dir", "XCUP"], "/"),
    ],
)
def test_changing_directory(lines: list[str], where: str) -> None:
    """Relative, absolute, and never above the root."""
    client = files()
    for line in lines:
        assert client.say(line) == "250 Directory changed."
    assert client.say("XPWD").startswith(f'257 "{where}" ')


@pytest.mark.parametrize(("path", "reply"), [("missing", MISSING), ("file", "550 Not a directory.")])
def test_changing_to_what_is_no_directory(path: str, reply: str) -> None:
    """The working directory stays."""
    client = files()
    assert client.say(f"CWD {path}") == reply
    assert client.say("PWD").startswith('257 "/" ')


def test_names_keep_their_spaces() -> None:
    """Leading and trailing spaces are part of a name."""
    client = files()
    assert client.say("MKD  two  words ") == '257 "/ two  words " created.'
    assert client.say("CWD  two  words ").startswith("250 ")


def test_names_that_are_not_utf8() -> None:
    """Byte for byte, in and out."""
    client = files()
    assert client.say("MKD caf\udce9") == '257 "/caf\udce9" created.'


@pytest.mark.parametrize("verb", ["MKD", "XMKD"])
def test_making_a_directory(verb: str) -> None:
    """257 with the whole path, and an event."""
    client = files()
    client.say("CWD dir")
    assert client.say(f"{verb} new") == '257 "/dir/new" created.'
    assert [event.path for event in client.server.published(DirectoryMade)] == ["/dir/new"]


@pytest.mark.parametrize(
    ("path", "reply"), [("dir", "550 File exists."), ("missing/new", MISSING), ("/", "550 File exists.")]
)
def test_a_directory_that_cannot_be_made(path: str, reply: str) -> None:
    """The phrases that FluentFTP matches."""
    assert files().say(f"MKD {path}") == reply


@pytest.mark.parametrize("verb", ["RMD", "XRMD"])
def test_removing_a_directory(verb: str) -> None:
    """250 and an event."""
    client = files()
    assert client.say(f"{verb} empty") == "250 Directory removed."
    assert [event.path for event in client.server.published(DirectoryRemoved)] == ["/empty"]


@pytest.mark.parametrize(
    ("path", "reply"), [("dir", "550 Directory not empty."), ("missing", MISSING), ("file", "550 Not a directory.")]
)
def test_a_directory_that_cannot_be_removed(path: str, reply: str) -> None:
    """And nothing is published."""
    client = files()
    assert client.say(f"RMD {path}") == reply
    assert client.server.published(DirectoryRemoved) == []


# --- files


def test_deleting() -> None:
    """250 and an event."""
    client = files()
    assert client.say("DELE file") == "250 File deleted."
    assert [event.path for event in client.server.published(FileDeleted)] == ["/file"]
    assert client.say("SIZE file") == MISSING


@pytest.mark.parametrize(("path", "reply"), [("missing", MISSING), ("dir", "550 Is a directory.")])
def test_a_file_that_cannot_be_deleted(path: str, reply: str) -> None:
    """And nothing is published."""
    client = files()
    assert client.say(f"DELE {path}") == reply
    assert client.server.published(FileDeleted) == []


def test_renaming() -> None:
    """350, 250 and an event with both names."""
    client = files()
    assert client.say("RNFR file").startswith("350 ")
    assert client.say("RNTO dir/new") == "250 Renamed."
    assert [(event.old, event.new) for event in client.server.published(FileRenamed)] == [("/file", "/dir/new")]


def test_rnto_without_rnfr() -> None:
    """503."""
    assert files().say("RNTO new") == "503 Send RNFR first."


def test_rnfr_holds_once() -> None:
    """A second RNTO needs a second RNFR, whether the first worked or not."""
    client = files()
    client.say("RNFR file")
    assert client.say("RNTO missing/new") == MISSING
    assert client.say("RNTO new") == "503 Send RNFR first."


def test_a_failed_rnfr_forgets_the_one_before() -> None:
    """Else RNTO would rename another file than the client means."""
    client = files()
    client.say("RNFR file")
    assert client.say("RNFR missing") == MISSING
    assert client.say("RNTO new") == "503 Send RNFR first."


def test_commands_between_rnfr_and_rnto() -> None:
    """A keep-alive does no harm."""
    client = files()
    client.say("RNFR file")
    client.say("NOOP")
    assert client.say("RNTO new") == "250 Renamed."


def test_rnfr_does_not_survive_the_login() -> None:
    """The next user does not rename the last one's file."""
    client = files()
    client.say("RNFR file")
    client.log_in("bob")
    assert client.say("RNTO new") == "503 Send RNFR first."


# --- SIZE and times


def test_size() -> None:
    """213 and the bytes."""
    assert files().say("SIZE file") == "213 4"


@pytest.mark.parametrize(("path", "reply"), [("missing", MISSING), ("dir", "550 Not a plain file.")])
def test_what_has_no_size(path: str, reply: str) -> None:
    """550."""
    assert files().say(f"SIZE {path}") == reply


def test_size_in_ascii() -> None:
    """The size of converted text is not known: no lie (ProFTPD, pyftpdlib)."""
    client = files()
    client.say("TYPE A")
    assert client.say("SIZE file").startswith("550 ")


def test_mdtm() -> None:
    """213 and UTC."""
    assert files().say("MDTM file") == "213 20240102030405"


def test_mdtm_of_a_directory() -> None:
    """550, as all other servers say it; MLST tells the time of a directory."""
    assert files().say("MDTM dir").startswith("550 Not a plain file")


def test_mdtm_sets_the_time() -> None:
    """vsftpd's and IIS's form, which rclone writes."""
    client = files()
    assert client.say("MDTM 20240203040506 file") == "213 Modify=20240203040506; /file"
    assert client.say("MDTM file") == "213 20240203040506"


def test_mdtm_of_a_file_that_looks_like_a_time() -> None:
    """ "20240101000000 x" may be a name: when it is one, its time is told and nothing is set."""
    client = files()
    client.server.memory.put("/20240101000000 file", b"")
    client.server.memory.set_modified(VirtualPath.parse("/20240101000000 file"), MOMENT)
    assert client.say("MDTM 20240101000000 file") == "213 20240102030405"
    assert modified(client, "/file") == MOMENT


def test_mdtm_of_a_long_name() -> None:
    """The time in front does not make a name too long that is not."""
    client = files()
    client.server.memory.put(f"/{LONG_NAME}", b"")
    assert client.say(f"MDTM 20240203040506 {LONG_NAME}").startswith("213 Modify=")


@pytest.mark.parametrize(
    "line", ["MDTM missing", "MDTM 20240203040506 missing", "MDTM two words", "MFMT 20240203040506 no"]
)
def test_times_of_what_is_not_there(line: str) -> None:
    """550."""
    assert files().say(line) == MISSING


def test_mfmt() -> None:
    """213 with the fact and the path, and an event."""
    client = files()
    assert client.say("MFMT 20240203040506 file") == "213 Modify=20240203040506; /file"
    (event,) = client.server.published(FileChanged)
    assert (event.path, event.modified) == ("/file", "20240203040506")


def test_mfmt_takes_milliseconds() -> None:
    """And says them back."""
    client = files()
    assert client.say("MFMT 20240203040506.250 file") == "213 Modify=20240203040506.250; /file"
    assert modified(client, "/file") % 1_000_000_000 == 250_000_000


@pytest.mark.parametrize(
    "argument", ["20240203040506", "2024 file", "20241303040506 file", "now file", "x" * 14 + " file"]
)
def test_times_that_are_none(argument: str) -> None:
    """501."""
    assert files().say(f"MFMT {argument}").startswith("501 ")


# --- refusals


@pytest.mark.parametrize(
    "line",
    ["MKD new", "RMD dir", "DELE file", "MFMT 20240203040506 file", "MDTM 20240203040506 file"],
)
def test_what_a_reader_may_not(line: str) -> None:
    """550 Permission denied, from the storage, for every command that changes something."""
    client = reader()
    assert client.say(line) in ("550 Permission denied.", MISSING)
    assert client.say("SIZE file") == "213 4"


def test_a_reader_cannot_rename() -> None:
    """Refused at RNTO at the latest."""
    client = reader()
    client.say("RNFR file")
    assert client.say("RNTO new").startswith("550 ")


@pytest.mark.parametrize("verb", ["CWD", "MKD", "RMD", "DELE", "RNFR", "SIZE", "MDTM"])
@pytest.mark.parametrize("name", ["a\tb", "a\x1bb", "x" * 256, "/".join(["x" * 205] * 20)])
def test_names_that_cannot_be(verb: str, name: str) -> None:
    """550: control characters would forge lines of listings and logs, and no file system has such long names."""
    reply = files().say(f"{verb} {name}")
    assert reply.startswith("550 ")
    assert name not in reply


def test_a_name_with_iac_comes_back_doubled() -> None:
    """The byte FF is Telnet's own (RFC 854)."""
    client = files()
    client.send_bytes(b"MKD a\xff\xffb\r\n")
    assert client.replies() == '257 "/a\udcff\udcffb" created.'


def test_nothing_is_changed_by_a_refusal() -> None:
    """After all of that the file is what it was."""
    client = reader()
    for line in ("DELE file", "RNFR file", "RNTO new", "MKD file"):
        client.say(line)
    with pytest.raises(StorageError):
        client.session.storage.stat(VirtualPath.parse("/new"))
    assert client.session.storage.stat(VirtualPath.parse("/file")).size == 4
