"""SITE: help, modes, times, the idle timeout."""

from __future__ import annotations

import pytest

from ftpsd.audit.events import CommandDone
from ftpsd.audit.topics.tree_events import FileChanged
from ftpsd.commands import TABLE
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule
from tests.fakes import MemoryStorage
from tests.sessions import ControlClient, Server, clear_server

# 2024-01-02 03:04:05 UTC, in nanoseconds.
STAMP, MOMENT = "20240102030405", 1_704_164_645 * 1_000_000_000


def files() -> ControlClient:
    """Return a client among some files."""
    server = clear_server()
    server.memory.put("/file", b"data")
    server.memory.put("/two words", b"data")
    return server.logged_in()


def modified(client: ControlClient, path: str) -> int:
    return client.server.memory.stat(VirtualPath.parse(path)).modified_ns


def mode(client: ControlClient, path: str) -> int:
    return client.server.memory.stat(VirtualPath.parse(path)).mode


# --- SITE itself


@pytest.mark.parametrize("line", ["SITE EXEC ls", "SITE SYMLINKS a b", "SITE <script>", "SITE  "])
def test_an_unknown_command(line: str) -> None:
    """500, and nothing of it is said again."""
    assert files().say(line) == "500 Unknown SITE command, see SITE HELP."


def test_site_alone() -> None:
    """501."""
    assert files().say("SITE").startswith("501 ")


@pytest.mark.parametrize("line", ["SITE HELP", "SITE CHMOD 644 file", "SITE WHOAMI", "SITE CPFR file"])
def test_strangers(line: str) -> None:
    """530 before login, for every one."""
    assert Server(tls={"require": "none"}).connect().say(line).startswith("530 ")


def test_help() -> None:
    """214 with every sub-command (IE asks for it)."""
    lines = files().say("site help").split("\n")
    assert lines[0] == "214-SITE commands:"
    assert [line[1:] for line in lines[1:-1]] == [command.syntax for command in TABLE.under("SITE")]


@pytest.mark.parametrize("line", ["SITE HELP CHMOD", "HELP SITE CHMOD", "help site chmod"])
def test_help_shows_the_syntax(line: str) -> None:
    """Of one."""
    assert files().say(line) == "214 Syntax: SITE <SP> CHMOD <SP> <mode> <SP> <pathname>"


def test_help_for_what_is_not_there() -> None:
    """502."""
    assert files().say("SITE HELP XYZZY").startswith("502 ")


def test_subcommands_are_published_under_their_names() -> None:
    """The audit log and the metrics tell SITE CHMOD from SITE UTIME."""
    client = files()
    client.say("SITE CHMOD 644 two words")
    done = client.server.published(CommandDone)[-1]
    assert (done.command, done.argument, done.code) == ("SITE CHMOD", "644 two words", 200)


def test_whoami() -> None:
    """The name the client logged in with."""
    assert files().say("SITE WHOAMI") == "200 alice"


# --- SITE CHMOD


@pytest.mark.parametrize(
    ("line", "path", "bits"),
    [
        ("SITE CHMOD 644 file", "/file", 0o644),
        ("SITE CHMOD 0755 two words", "/two words", 0o755),
        ("site chmod 0 file", "/file", 0),
    ],
)
def test_chmod(line: str, path: str, bits: int) -> None:
    """Octal, with or without a 0 in front; names may have spaces."""
    client = files()
    assert client.say(line) == "200 Mode changed."
    assert mode(client, path) == bits
    (event,) = client.server.published(FileChanged)
    assert (event.path, event.mode, event.modified) == (path, f"{bits:04o}", None)


@pytest.mark.parametrize(
    ("argument", "code"),
    [("644", "501"), ("u+x file", "501"), ("888 file", "501"), ("4755 file", "550"), ("644 missing", "550")],
)
def test_chmod_refused(argument: str, code: str) -> None:
    """Symbolic modes, set-user-id, what is not there."""
    client = files()
    assert client.say(f"SITE CHMOD {argument}")[:3] == code
    assert client.server.published(FileChanged) == []


@pytest.mark.parametrize("line", ["SITE CHMOD 644 file", f"SITE UTIME {STAMP} file"])
def test_what_a_reader_may_not(line: str) -> None:
    """Permissions are the storage's, as everywhere."""
    memory = MemoryStorage()
    memory.put("/file", b"data")
    storage = GuardedStorage(memory, [Rule("/**", frozenset({Permission.LIST, Permission.READ}))])
    assert clear_server(storage=storage).logged_in().say(line) == "550 Permission denied."


# --- SITE UTIME


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        (f"{STAMP} file", "/file"),
        (f"{STAMP} two words", "/two words"),
        (f"file 20200101000000 {STAMP} 20210101000000 UTC", "/file"),
        (f"two words 20200101000000 {STAMP} 20210101000000 utc", "/two words"),
    ],
)
def test_utime(argument: str, path: str) -> None:
    """Both forms that clients send, in UTC; of three times the second is meant (lftp, ncftp)."""
    client = files()
    assert client.say(f"SITE UTIME {argument}") == "200 Time changed."
    assert modified(client, path) == MOMENT
    (event,) = client.server.published(FileChanged)
    assert (event.path, event.modified, event.mode) == (path, STAMP, None)


def test_utime_tells_what_is_kept() -> None:
    """Where the file system cannot keep the year, the reply has the time that MDTM will tell."""
    client = files()
    said = client.say("SITE UTIME 18000101000000 file")
    kept = client.say("MDTM file").removeprefix("213 ")
    assert not kept.startswith("1800")
    assert said == f"200 Time changed, to {kept}."


def test_utime_without_seconds() -> None:
    """ProFTPD's older form."""
    client = files()
    assert client.say("SITE UTIME 202401020304 file").startswith("200 ")
    assert modified(client, "/file") == MOMENT - 5_000_000_000


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        (STAMP, "501"),
        ("file", "501"),
        ("20241302030405 file", "501"),
        (f"file {STAMP} {STAMP} UTC", "501"),
        (f"{STAMP} missing", "550"),
    ],
)
def test_utime_refused(argument: str, code: str) -> None:
    """A text that is no time and a file that is not there are refused."""
    assert files().say(f"SITE UTIME {argument}")[:3] == code


# --- SITE IDLE


def test_idle_is_told() -> None:
    """Without a number."""
    assert files().say("SITE IDLE") == "200 The idle timeout is 600 seconds, at most 600."


def test_idle_is_lowered_at_once() -> None:
    """The session ends after that much silence, not after what it was before."""
    client = files()
    assert client.say("SITE IDLE 60") == "200 The idle timeout is 60 seconds, at most 600."
    client.server.reactor.advance(59)
    assert not client.is_closed
    client.server.reactor.advance(2)
    assert client.replies().startswith("421 ")
    assert client.is_closed


def test_idle_is_restored() -> None:
    """Up to what the operator has set."""
    client = files()
    client.say("SITE IDLE 60")
    client.say("SITE IDLE 600")
    client.server.reactor.advance(599)
    assert not client.is_closed


@pytest.mark.parametrize("seconds", ["601", "29", "0", "-1", "x", "1e9", "٣٣", "99999999999999999999"])
def test_idle_is_bounded(seconds: str) -> None:
    """501, and nothing changes."""
    client = files()
    assert client.say(f"SITE IDLE {seconds}") == "501 The idle timeout can be from 30 to 600 seconds."
    assert client.session.parameters.idle_timeout == 600


def test_idle_of_an_impatient_server() -> None:
    """Where the operator's limit is below the least, it can still be told and set."""
    client = clear_server(limits={"idle_timeout": 10}).logged_in()
    assert client.say("SITE IDLE 10").startswith("200 ")


def test_idle_ends_with_the_login() -> None:
    """The next user has the operator's."""
    client = files()
    client.say("SITE IDLE 60")
    client.log_in("bob")
    client.server.reactor.advance(599)
    assert not client.is_closed
