"""Dispatch: every guard, every error's one reply, and nothing of an exception's text on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from ftpsd.commands import TABLE
from ftpsd.control.dispatch import DATA_REPLIES, FOREIGN_VERBS, LOST_SENTENCES, STORAGE_REPLIES
from ftpsd.control.state.session import Session
from ftpsd.control.table import CommandTable, Family, Needs
from ftpsd.data.ports import PortsExhausted
from ftpsd.data.trouble import Cause, DataError, Lost, Trouble
from ftpsd.storage.base import Kind, StorageError, UnfinishedUpload
from ftpsd.values.path import VirtualPath
from ftpsd.wire.reply import Reply, ReplyError
from ftpsd.workers import PoolBusy
from tests.sessions import ControlClient, Server, clear_server

SECRET = "/srv/ftpsd/alice: Traceback, hash $argon2id$"


def answer_to(error: Exception, needs: Needs = Needs.NOTHING) -> str:
    """Return what a client reads when a command raises *error*."""
    return failing(error, needs).connect().say("FAIL now")


def failing(error: Exception, needs: Needs = Needs.NOTHING) -> Server:
    """Return a server whose one command raises *error*."""
    family = Family("test")

    @family.command("FAIL [<SP> <when>]", needs=needs, rfc="none")
    async def fail(session: Session, argument: str) -> Reply:
        """Fail."""
        raise error

    return clear_server(table=CommandTable([family]))


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """The events that the daemon's log is told."""
    events: list[LogEvent] = []
    observer = cast(ILogObserver, events.append)
    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)


# --- errors


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_its_reply(kind: Kind) -> None:
    """Each kind of StorageError is answered as the map says, and with a refusal."""
    reply = answer_to(StorageError(kind, VirtualPath.parse("/private/name"), OSError(5, SECRET)))
    code = STORAGE_REPLIES[kind].code
    assert reply == f"{550 if code == 553 else code} {STORAGE_REPLIES[kind].text}"
    assert reply[0] in "45"


@pytest.mark.parametrize(("is_append", "code"), [(True, 550), (False, 554)])
def test_an_unfinished_upload_is_told(is_append: bool, code: int) -> None:
    """How much of it there is, and what the client can do; 554 is about a REST (RFC 3659), which APPE has none of."""
    reply = answer_to(UnfinishedUpload(1_200_000, VirtualPath.parse("/private/name"), is_append=is_append))
    assert reply.startswith(f"{code} ")
    assert ("1200000 bytes" in reply, "STOR" in reply, "private" in reply) == (True, True, False)


@pytest.mark.parametrize(("line", "code"), [("RNTO x\x1by", "553"), ("DELE x\x1by", "550"), ("RETR x\x1by", "550")])
def test_553_is_for_commands_that_give_a_name(line: str, code: str) -> None:
    """RFC 959, 5.4, has it for STOR, APPE and RNTO only; to others a name that cannot be is one that is not there."""
    client = clear_server().logged_in()
    client.server.memory.put("/old", b"")
    client.agree()
    client.say("RNFR old")
    assert client.say(line)[:3] == code


@pytest.mark.parametrize("verb", ["ADAT", "MIC", "CONF", "ENC", "LPRT", "LPSV", "ALGS", "MAIL", "MLFL", "XSEN"])
def test_registered_verbs_that_are_not_done_here(verb: str) -> None:
    """502, not the 500 of what nobody has ever heard of (RFC 5797)."""
    assert clear_server().logged_in().say(f"{verb} x") == "502 Command not implemented."


@pytest.mark.parametrize("line", ["NOOP a\0b", "DELE a\0b", "STOR a\0b", "SITE CHMOD 644 a\0b"])
def test_a_nul_is_refused(line: str) -> None:
    """501: neither "a" nor "ab" is meant."""
    client = clear_server().logged_in()
    client.agree()
    assert client.say(line) == "501 There can be no NUL in a command."


@pytest.mark.parametrize("trouble", Trouble)
def test_every_trouble_has_its_reply(trouble: Trouble) -> None:
    """Each way of having no data connection is answered as the map says."""
    assert answer_to(DataError(trouble, SECRET)) == f"{DATA_REPLIES[trouble].code} {DATA_REPLIES[trouble].text}"


@pytest.mark.parametrize(
    ("kind", "phrase"),
    [(Kind.NOT_FOUND, "No such file"), (Kind.EXISTS, "File exists"), (Kind.DENIED, "Permission denied")],
)
def test_phrases_that_clients_match(kind: Kind, phrase: str) -> None:
    """FluentFTP compares these English words."""
    assert answer_to(StorageError(kind)).startswith(f"550 {phrase}")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PortsExhausted(), "425"),
        (Lost(Cause.TLS, SECRET), "426"),
        (PoolBusy("files"), "450"),
        (ReplyError(504, "So."), "504"),
    ],
)
def test_other_expected_errors(error: Exception, code: str) -> None:
    """A failure that may happen on any day has its own code."""
    assert answer_to(error)[:3] == code


@pytest.mark.parametrize(
    ("unopened", "text"),
    [
        (0, "425 All passive ports are in use for your address, try again later."),
        (2, "425 No passive port is free, try again later."),
    ],
)
def test_whose_ports_are_in_use(unopened: int, text: str) -> None:
    """Ports that cannot be opened are not the client's doing."""
    assert answer_to(PortsExhausted(unopened)) == text


@pytest.mark.parametrize("error", [ValueError(SECRET), AssertionError(SECRET), OSError(5, SECRET), KeyError(SECRET)])
def test_the_unexpected_is_451(error: Exception) -> None:
    """Nobody's fault but ours: try again later."""
    assert answer_to(error) == "451 Internal error, the operator has been told."


def test_the_unexpected_is_logged(logged: list[LogEvent]) -> None:
    """The traceback is for the operator, with the verb and the session."""
    error = ValueError(SECRET)
    answer_to(error)
    failures = [event for event in logged if "log_failure" in event]
    assert [event["log_failure"].value for event in failures] == [error]
    assert failures[0]["verb"] == "FAIL"


@pytest.mark.parametrize("error", [ReplyError(501, "No."), StorageError(Kind.IO), DataError(Trouble.NO_TLS, "no")])
def test_the_expected_is_not_logged(error: Exception, logged: list[LogEvent]) -> None:
    """A client's mistake does not fill the operator's log."""
    answer_to(error)
    assert [event for event in logged if "log_failure" in event] == []


@pytest.mark.parametrize(
    "error",
    [
        StorageError(Kind.IO, None, OSError(5, SECRET)),
        DataError(Trouble.NO_TLS, SECRET),
        Lost(Cause.TLS, SECRET),
        DataError(Trouble.ABORTED, SECRET, cause=Cause.ABOR),
        RuntimeError(SECRET),
    ],
)
def test_no_text_of_an_exception_is_on_the_wire(error: Exception) -> None:
    """Host paths, hashes and tracebacks stay here."""
    reply = answer_to(error)
    assert not [word for word in SECRET.split() if word in reply]


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_its_sentence(cause: Cause) -> None:
    """A 426 says what ended the transfer, in words of its own."""
    reply = answer_to(Lost(cause, SECRET))
    assert reply == f"426 {LOST_SENTENCES[cause].format(seconds=300)}, transfer aborted."
    assert not [word for word in SECRET.split() if word in reply]


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (Cause.NO_CLOSE_NOTIFY, "Data connection ended without TLS close_notify, not stored."),
        (Cause.STALLED, "No progress for 300 seconds, not stored."),
        (Cause.ABOR, "Aborted by the client, not stored."),
    ],
)
def test_what_became_of_an_upload(cause: Cause, text: str) -> None:
    """Its client learns that nothing stands under the name."""
    family = Family("test")

    @family.command("STOR [<SP> <when>]", needs=Needs.NOTHING, rfc="none")
    async def stor(session: Session, argument: str) -> Reply:
        """Fail."""
        raise Lost(cause)

    assert clear_server(table=CommandTable([family])).connect().say("STOR now") == f"426 {text}"


def test_a_session_survives_the_unexpected() -> None:
    """The next command is answered."""
    client = failing(ValueError()).connect()
    assert client.say("FAIL").startswith("451 ")
    assert client.say("FAIL").startswith("451 ")


def test_replies_name_no_product() -> None:
    """No reply of the maps helps a scanner or switches a client's workaround on."""
    texts = [reply.text.lower() for reply in (*STORAGE_REPLIES.values(), *DATA_REPLIES.values())]
    assert not [text for text in texts if "ftpsd" in text or "python" in text or "twisted" in text]


# --- guards


def guarded(needs: Needs, syntax: str = "OKAY [<SP> <word>]", **arguments: Any) -> ControlClient:
    """Return a client of a server whose one own command needs *needs*."""
    family = Family("test")

    @family.command(syntax, needs=needs, rfc="none")
    async def okay(session: Session, argument: str) -> Reply:
        """Succeed."""
        return Reply(200, f"[{argument}]")

    return Server(table=CommandTable([*TABLE.families, family]), **arguments).connect()


def test_nothing_needs_nothing() -> None:
    """A command without needs runs for a stranger in clear."""
    assert guarded(Needs.NOTHING).say("OKAY") == "200 []"


def test_tls_is_needed_where_the_policy_says_so() -> None:
    """530 with a hint, and the connection stays: clients retry with AUTH."""
    client = guarded(Needs.TLS)
    assert client.say("OKAY") == "530 Use AUTH TLS first."
    client.start_tls()
    assert client.say("OKAY") == "200 []"


@pytest.mark.parametrize(("require", "code"), [("none", "200"), ("control", "530"), ("control-and-data", "530")])
def test_the_policy_decides_about_tls(require: str, code: str) -> None:
    """tls.require: none lets strangers in clear go on."""
    assert guarded(Needs.TLS, tls={"require": require}).say("OKAY")[:3] == code


def test_a_login_is_needed() -> None:
    """530 until USER and PASS have been accepted."""
    client = guarded(Needs.LOGIN, tls={"require": "none"})
    assert client.say("OKAY") == "530 Log in with USER and PASS first."
    client.log_in()
    assert client.say("OKAY") == "200 []"


def test_a_data_port_is_needed() -> None:
    """425 until PASV or PORT."""
    client = guarded(Needs.DATA_PORT, tls={"require": "none"})
    client.log_in()
    assert client.say("OKAY") == "425 Use PASV or PORT first."
    client.agree()
    assert client.say("OKAY") == "200 []"


def test_protection_is_needed_where_the_policy_says_so() -> None:
    """521 before PROT P, whether a port is agreed or not (RFC 4217, 12.2)."""
    client = guarded(Needs.LOGIN | Needs.DATA_PORT)
    client.start_tls()
    client.log_in()
    client.agree()
    assert client.say("OKAY").startswith("521 ")
    client.say("PROT P")
    assert client.say("OKAY") == "200 []"


def test_protection_is_free_under_the_policy_control() -> None:
    """tls.require: control asks for TLS on the control connection only."""
    client = guarded(Needs.LOGIN | Needs.DATA_PORT, tls={"require": "control"})
    client.start_tls()
    client.log_in()
    client.agree()
    assert client.say("OKAY") == "200 []"


@pytest.mark.parametrize(
    ("syntax", "line", "reply"),
    [
        ("OKAY <SP> <word>", "OKAY", "501 OKAY needs an argument: OKAY <SP> <word>"),
        ("OKAY <SP> <word>", "OKAY word", "200 [word]"),
        ("OKAY [<SP> <word>]", "OKAY", "200 []"),
        ("OKAY [<SP> <word>]", "OKAY word", "200 [word]"),
        ("OKAY", "OKAY", "200 []"),
        ("OKAY", "OKAY word", "501 OKAY takes no argument."),
        ("OKAY", "OKAY  ", "200 [ ]"),
        ("OKAY <SP> <word>", "OKAY  two  words ", "200 [ two  words ]"),
    ],
)
def test_arity_is_read_from_the_syntax(syntax: str, line: str, reply: str) -> None:
    """The syntax line says whether there is an argument; spaces inside it are the command's."""
    assert guarded(Needs.NOTHING, syntax).say(line) == reply


def test_a_stranger_learns_nothing_from_arity() -> None:
    """The login is asked for first."""
    client = guarded(Needs.LOGIN, "OKAY <SP> <word>", tls={"require": "none"})
    assert client.say("OKAY").startswith("530 ")


@pytest.mark.parametrize("verb", sorted(FOREIGN_VERBS))
def test_foreign_verbs_are_no_commands_of_ours(verb: str) -> None:
    """A verb that ends a stranger's session at once is not in the table."""
    assert guarded(Needs.NOTHING).session.table.find(verb) is None


@pytest.mark.parametrize("line", ["XYZZY <script>", "<SCRIPT> alert", "\udce4\udcf6"])
def test_an_unknown_command_is_not_echoed(line: str) -> None:
    """A line that a hostile page made a browser send does not come back (ALPACA's reflection)."""
    assert guarded(Needs.NOTHING).say(line) == "500 Unknown command."
