"""Why a command was refused: in the audit log's `command` event, and never on the wire."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ftpsd.audit.events import CommandDone
from ftpsd.storage.base import Kind, Storage, StorageError
from ftpsd.storage.errnos import from_oserror
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from ftpsd.wire.reply import Reply
from tests.fakes import MemoryStorage
from tests.sessions import ControlClient, clear_server


def client_of(storage: Storage) -> ControlClient:
    return clear_server(storage=storage).logged_in()


def ruled(*allow: Permission) -> ControlClient:
    """Return a client with a file, who may do no more than *allow*."""
    memory = MemoryStorage()
    memory.put("/file", b"data")
    return client_of(GuardedStorage(memory, [Rule("/**", frozenset(allow))]))


def last(client: ControlClient) -> CommandDone:
    return client.server.published(CommandDone)[-1]


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("DELE file", "delete"),
        ("MKD new", "mkdir"),
        ("RMD file", "rmdir"),
        ("MFMT 20240102030405 file", "set-time"),
        ("SITE CHMOD 600 file", "chmod"),
        ("HASH file", "read"),
        ("PRET RETR file", "read"),
    ],
)
def test_the_right_that_no_rule_gives(command: str, missing: str) -> None:
    """The permission that the operator has to add to a rule is named; the client is told no more than before."""
    client = ruled(Permission.LIST)
    reply = client.say(command)
    assert reply[:4] == "550 "
    assert "rule" not in reply
    assert last(client).reason == f"no rule allows {missing}"


def test_what_may_not_be_listed_has_the_rule_in_the_log_alone() -> None:
    """The client is told that there is no such file; the operator that there is no such rule."""
    client = ruled()
    assert client.say("SIZE file") == "550 No such file or directory."
    assert last(client).reason == "no rule allows list or read"


@pytest.mark.parametrize(("verb", "missing"), [("STOR", "overwrite"), ("APPE", "append")])
def test_an_upload_over_a_file_names_the_right_for_that(verb: str, missing: str) -> None:
    """A user who may upload and not replace needs another right than one who may not upload."""
    client = ruled(Permission.LIST, Permission.UPLOAD)
    client.say("EPSV")
    client.say(f"{verb} file")
    assert last(client).reason == f"no rule allows {missing}"


def test_the_name_of_an_errno(tmp_path: Path) -> None:
    """A refusal of the file system has the name of its error, as an operator can look it up."""
    (tmp_path / "file").touch()
    client = client_of(LocalJail.open(tmp_path, uploads=UploadPolicy(), owner="alice"))
    for command, name in (("SIZE absent", "ENOENT"), ("MKD file", "EEXIST"), ("CWD file/in", "ENOTDIR")):
        assert client.say(command)[0] == "5"
        assert last(client).reason == name


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("FOO", "Unknown command."),
        ("SIZE", "SIZE needs an argument: SIZE <SP> <pathname>"),
        ("RETR file", "Use PASV or PORT first."),
        ("RNTO new", "Send RNFR first."),
    ],
)
def test_a_sentence_where_the_reply_says_it(command: str, reason: str) -> None:
    """A mistake in the command itself is in the reply, and so it is in the log."""
    client = ruled(*Permission)
    client.say(command)
    assert last(client).reason == reason


def test_a_refused_login_has_the_reason_of_the_login() -> None:
    """The reply says as little as ever."""
    client = clear_server().connect()
    client.say("USER nobody")
    client.send("PASS secret")
    client.server.reactor.advance(5.0)
    assert client.replies() == "530 Login incorrect."
    assert last(client).reason == "unknown user"
    assert last(client).argument == "***"


def test_what_was_done_has_no_reason() -> None:
    """Reasons are for refusals."""
    client = ruled(*Permission)
    client.say("SIZE file")
    assert last(client).reason is None


def test_a_reason_is_not_part_of_a_reply() -> None:
    """Neither its bytes nor its value change."""
    reply = Reply(550, "Permission denied.")
    assert reply.because("EACCES") == reply
    assert reply.because("EACCES").to_bytes() == reply.to_bytes()
    assert reply.because("EACCES").because("later").reason == "EACCES"


def test_the_reason_of_a_storage_error() -> None:
    """A rule before an errno, an errno before the kind."""
    cause = OSError(errno.EACCES, "no")
    assert from_oserror(cause).reason == "EACCES"
    assert StorageError(Kind.DENIED, None, cause, why="no rule allows read").reason == "no rule allows read"
    assert StorageError(Kind.NOT_FOUND).reason == "ENOENT"
    assert StorageError(Kind.QUOTA).reason == "quota"
    assert StorageError(Kind.BAD_NAME).reason == "bad name"
