"""The server-PI: one reply for each command, in order, bounded in everything a client can do too much of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftpsd.audit.events import CommandDone, ConnectionRejected, Event, SessionClosed, SessionOpened
from ftpsd.control.flow.backlog import MAX_QUEUED
from ftpsd.control.gate.penalties import BANNED, Ban, NoPenalties
from ftpsd.control.pi import FAREWELL
from ftpsd.wire.lines import MAX_LINE
from tests.sessions import PEER, ControlClient, Server, clear_server
from tests.workers import QueueingWorkers


def slow() -> tuple[QueueingWorkers, ControlClient]:
    """Return a client that has logged in, and the files pool that makes its commands wait."""
    files = QueueingWorkers()
    server = clear_server(files=files)
    server.memory.put("/file", b"data")
    return files, server.logged_in()


# --- greeting and limits


def test_the_greeting_is_the_banner() -> None:
    """220 carries the configured text."""
    assert clear_server(banner="Welcome.").connect().greeting == "220 Welcome."


def test_the_greeting_names_no_server() -> None:
    """FluentFTP and WinSCP sniff product names and switch workarounds on."""
    greeting = clear_server().connect().greeting.lower()
    assert not [
        name for name in ("filezilla", "vsftpd", "proftpd", "pure-ftpd", "pyftpdlib", "apache") if name in greeting
    ]


def test_a_session_is_published() -> None:
    """The audit log learns who came, and by which listener."""
    server = clear_server()
    server.connect()
    (opened,) = server.published(SessionOpened)
    assert (opened.who.peer, opened.who.listener, opened.who.user) == (PEER, "test:0", None)


def test_too_many_connections() -> None:
    """Beyond limits.connections the greeting is 421, which lftp's limits understand, and never a reset (rclone)."""
    server = clear_server(limits={"connections": 1})
    server.connect()
    refused = server.connect(peer="198.51.100.8")
    assert refused.greeting == "421 Too many connections to this server, try again later."
    assert refused.is_closed
    assert not refused.is_cut


def test_too_many_connections_from_one_address() -> None:
    """Beyond limits.connections_per_address others are still served."""
    server = clear_server(limits={"connections_per_address": 1})
    server.connect()
    assert server.connect().greeting.startswith("421 Too many connections from your address")
    assert server.connect(peer="198.51.100.8").greeting.startswith("220 ")


def test_a_refused_connection_is_published() -> None:
    """It never was a session, so it is not counted as one."""
    server = clear_server(limits={"connections": 1})
    server.connect()
    server.connect().hang_up()
    assert [event.reason for event in server.published(ConnectionRejected)] == ["too-many-connections"]
    assert (len(server.published(SessionOpened)), len(server.published(SessionClosed))) == (1, 0)
    assert server.counts.total == 1


def test_a_refused_connection_runs_nothing() -> None:
    """Commands that the client has sent ahead die with it."""
    server = clear_server(limits={"connections": 1})
    server.connect()
    assert server.connect().say("USER alice") == ""


class OneBan(NoPenalties):
    """Penalties of one address."""

    def refusal(self, address: str) -> str | None:
        """Refuse PEER."""
        return BANNED if address == PEER else None

    def note(self, event: Event, seconds: float) -> None: ...

    def bans(self) -> list[Ban]:
        """Return the one."""
        return [Ban(PEER, "login-refused", 1e9)]

    def lift(self, address: str) -> bool:
        """Return that it stays."""
        return False


@pytest.mark.parametrize("implicit", [False, True])
def test_a_banned_address_is_refused_before_it_is_counted(implicit: bool) -> None:
    """421 in the greeting's place and no session; under TLS not even a handshake. Others are served."""
    server = Server(limits={"connections": 1})
    server.runtime = replace(server.runtime, shared=replace(server.runtime.shared, penalties=OneBan()))
    banned = server.connect_silently() if implicit else server.connect()
    assert banned.greeting == ("" if implicit else "421 Too many failures from your address, try again later.")
    assert banned.is_closed
    assert (banned.pi.session.tls, banned.say("USER alice") if not implicit else "") == (None, "")
    banned.hang_up()
    assert [event.reason for event in server.published(ConnectionRejected)] == ["banned"]
    assert (server.counts.total, server.published(SessionOpened)) == (0, [])
    assert server.connect(peer="198.51.100.8").greeting.startswith("220 ")


class OneOffice(NoPenalties):
    """Penalties of a server at which somebody has logged in well from PEER."""

    def is_known(self, address: str) -> bool:
        """Return whether it is PEER."""
        return address == PEER


def test_strangers_do_not_shut_out_a_known_client() -> None:
    """They fill three quarters of the server by saying nothing; a stranger more is refused, the office is not."""
    server = Server(limits={"connections": 4, "connections_per_address": 4})
    server.runtime = replace(server.runtime, shared=replace(server.runtime.shared, penalties=OneOffice()))
    for _ in range(3):
        assert server.connect(peer="198.51.100.8").greeting.startswith("220 ")
    assert server.connect(peer="198.51.100.9").greeting.startswith("421 Too many connections that have not logged in")
    assert server.connect().greeting.startswith("220 ")
    assert server.connect().greeting.startswith("421 Too many connections to this server")


def test_a_place_is_free_again() -> None:
    """A connection that has gone counts no longer."""
    server = clear_server(limits={"connections": 1})
    server.connect().hang_up()
    assert server.connect().greeting.startswith("220 ")


# --- one reply for each command


def test_commands_are_answered_in_order() -> None:
    """Pipelined commands get their replies in the order they were sent."""
    client = clear_server().connect()
    client.send("NOOP", "SYST", "XYZZ", "NOOP")
    assert [line[:3] for line in client.replies().split("\n")] == ["200", "215", "500", "200"]


def test_a_command_may_come_in_pieces() -> None:
    """A line is run when it is complete."""
    client = clear_server().connect()
    client.send_bytes(b"NO")
    assert client.replies() == ""
    client.send_bytes(b"OP\r\n")
    assert client.replies() == "200 OK."


@pytest.mark.parametrize("line", [b"noop\r\n", b"NOOP\n", b"NoOp\r\r\n", b" NOOP\r\n", b"\xff\xf4\xff\xf2NOOP\r\n"])
def test_ways_to_write_a_command(line: bytes) -> None:
    """Case, bare LF, doubled CR, a leading space and Telnet codes are all seen in the wild."""
    client = clear_server().connect()
    client.send_bytes(line)
    assert client.replies() == "200 OK."


def test_an_empty_line_is_no_command() -> None:
    """It gets no reply."""
    assert clear_server().connect().say("") == ""


def test_one_command_runs_at_a_time() -> None:
    """A command that is sent while another runs waits for its reply."""
    files, client = slow()
    client.send("SIZE file", "NOOP", "SIZE file")
    assert client.replies() == ""
    assert files.waiting == 1
    files.release(1)
    assert client.replies() == "213 4\n200 OK."
    files.release(1)
    assert client.replies() == "213 4"


def test_every_command_is_published() -> None:
    """The audit log has verb, argument and code."""
    server = clear_server()
    server.connect().say("HELP NOOP")
    (done,) = server.published(CommandDone)
    assert (done.command, done.argument, done.code) == ("HELP", "NOOP", 214)


def test_an_unknown_command_is_published_without_its_text() -> None:
    """The bytes of a stranger are not repeated: they may be a password."""
    server = clear_server()
    server.connect().say("open sesame please")
    (done,) = server.published(CommandDone)
    assert (done.command, done.argument, done.code) == ("other", "", 500)


def test_a_command_takes_the_time_it_took() -> None:
    """`seconds` is from the start of the command to its reply."""
    files, client = slow()
    client.send("SIZE file")
    client.server.reactor.advance(2.5)
    files.release()
    assert client.server.published(CommandDone)[-1].seconds == 2.5


# --- the queue is bounded


def test_reading_pauses_when_the_queue_is_full() -> None:
    """A client that sends far ahead is read no further."""
    _, client = slow()
    client.send("SIZE file", *["NOOP"] * (MAX_QUEUED - 1))
    assert client.connection.is_reading
    client.send("NOOP", "NOOP")
    assert not client.connection.is_reading


def test_reading_goes_on_when_the_queue_has_room() -> None:
    """Every command sent ahead is answered in the end."""
    files, client = slow()
    client.send("SIZE file", *["NOOP"] * (MAX_QUEUED + 1))
    files.release()
    assert client.replies() == "\n".join(["213 4"] + ["200 OK."] * (MAX_QUEUED + 1))
    assert client.connection.is_reading


def test_a_full_queue_loses_nothing() -> None:
    """A segment that fills the queue far beyond its bound is still run whole."""
    files, client = slow()
    client.send("SIZE file", *["NOOP"] * 1000)
    files.release()
    assert client.replies().count("200 OK.") == 1000


# --- clients that do not read


def test_a_client_that_does_not_read_is_not_answered_further() -> None:
    """While the transport is full no further command runs."""
    client = clear_server().connect()
    client.session.room.pauseProducing()
    assert client.say("NOOP") == ""
    client.session.room.resumeProducing()
    assert client.replies() == "200 OK."


def test_a_client_that_does_not_read_is_not_read_from() -> None:
    """It cannot fill our memory with commands either."""
    client = clear_server().connect()
    client.session.room.pauseProducing()
    client.send(*["NOOP"] * (MAX_QUEUED + 1))
    assert not client.connection.is_reading


def test_a_client_that_reads_again_is_read_again() -> None:
    """The whole queue is answered."""
    client = clear_server().logged_in()
    client.session.room.pauseProducing()
    client.send(*["NOOP"] * (MAX_QUEUED + 1))
    client.session.room.resumeProducing()
    assert client.replies().count("200 OK.") == MAX_QUEUED + 1
    assert client.connection.is_reading


def test_a_client_that_does_not_read_is_closed_when_idle() -> None:
    """It does not keep its place for ever."""
    client = clear_server(limits={"idle_timeout": 10, "login_timeout": 1000}).connect()
    client.session.room.pauseProducing()
    client.send("NOOP")
    client.server.reactor.advance(10)
    client.server.reactor.advance(FAREWELL)
    assert client.is_cut


# --- lines


def test_the_longest_line_is_taken() -> None:
    """A path of PATH_MAX fits."""
    assert clear_server().connect().say("HELP " + "x" * (MAX_LINE - 6)).startswith("502 ")


@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_an_endless_line_ends_the_session(end: bytes) -> None:
    """500, then close, also when the line never ends."""
    client = clear_server().connect()
    client.send_bytes(b"A" * (MAX_LINE + 1) + end)
    assert client.replies() == "500 Command line too long."
    assert client.is_closed


def test_an_endless_line_waits_its_turn() -> None:
    """The commands before it are answered first."""
    files, client = slow()
    client.send_bytes(b"SIZE file\r\n" + b"A" * (MAX_LINE + 1))
    assert not client.is_closed
    files.release()
    assert client.replies() == "213 4\n500 Command line too long."


def test_nothing_behind_an_endless_line_is_run() -> None:
    """The next bytes may be the middle of a file name."""
    client = clear_server().connect()
    client.send_bytes(b"A" * (MAX_LINE + 1) + b"\r\nNOOP\r\n")
    client.send("NOOP")
    assert client.replies() == "500 Command line too long."


# --- not an FTP client


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "POST / HTTP/1.1", "EHLO there", "Host: example.org"])
def test_other_protocols_end_at_once(line: str) -> None:
    """A browser or mailer led here (ALPACA) gets one line that repeats nothing of its own, and no more."""
    client = clear_server().connect()
    client.send(line, "USER alice")
    assert client.replies() == "421 This is an FTP server. Closing."
    assert client.is_closed


def test_few_bad_commands_before_login() -> None:
    """The fifth unknown command of a stranger is the last."""
    client = clear_server().connect()
    for _ in range(4):
        assert client.say("XYZZY") == "500 Unknown command."
    assert client.say("XYZZY").startswith("421 ")


def test_many_bad_commands_after_login() -> None:
    """A user may mistype."""
    client = clear_server().logged_in()
    for _ in range(10):
        assert client.say("XYZZY") == "500 Unknown command."
