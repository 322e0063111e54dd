"""A session's memory of its user is gone with the user: the next one begins like the first."""

from __future__ import annotations

from typing import Any

import pytest

from ftpsd.control.state.remembered import Named
from ftpsd.control.state.session import Session
from ftpsd.data.dtp import ServerDTP
from tests.sessions import PASSWORD, ControlClient, clear_server, user_record

# The fields that stay, and why: the connection is the same one.
OF_THE_CONNECTION = {
    "bytes_sent": "SessionClosed tells those of all users",
    "bytes_received": "as bytes_sent",
    "failed_logins": "a guesser must not begin anew with REIN",
    "bad_commands": "nor one that is no FTP client",
    "reply": "writes to this connection",
    "_current": "asks the factory that has made this connection",
    "room": "of this connection",
    "started": "when the connection was made",
}
OF_THE_LAST_DATA_CONNECTION = {
    "mode": "events tell it of the transfer that is just ending",
    "resumed": "set with every data connection before anybody asks",
    "_aborts": "a counter",
    "_abort_cause": "set with every abort",
}
# What AUTH TLS begins.
OF_TLS = ("tls", "dtp.tls")
# A command that sets every parameter away from what it begins with.
WORK = (
    *("TYPE I", "CWD directory", "MODE Z", "OPTS MODE Z LEVEL 9", "OPTS MLST size;", "OPTS HASH MD5"),
    *("RNFR /directory", "SITE CPFR inner", "SITE IDLE 60", "EPSV", "EPSV ALL", "RANG 1 2"),
)


def at_work() -> ControlClient:
    """Return a client that has logged in, has changed all that it can, and has transferred a file."""
    record = user_record(
        encoding="cp1252", download_rate=10**6, upload_rate=10**6, data_session_reuse="offered", upload_end="fin"
    )
    server = clear_server(user=record, mode_z=True, default_type="ascii")
    server.memory.put("/directory/inner", b"data")
    client = server.connect()
    client.server.reactor.advance(1)
    client.log_in()
    for line in WORK:
        assert client.say(line)[0] in "23", line
    return client


def state(thing: object) -> dict[str, Any]:
    """Return the attributes of *thing*."""
    return dict(vars(thing))


def test_every_parameter_is_changed_by_the_work() -> None:
    """So that the tests below can fail."""
    client = at_work()
    fresh = client.server.connect().session.parameters
    kept = {name for name in fresh.__slots__ if getattr(client.session.parameters, name) == getattr(fresh, name)}
    # PASS takes the name that USER has set; names are in the account's encoding or in UTF-8.
    assert kept == {"login", "wants_utf8"}
    client.say("OPTS UTF8 ON")
    assert client.session.parameters.wants_utf8


@pytest.mark.parametrize("again", ["REIN", "USER bob", "AUTH TLS"])
def test_all_is_as_in_a_fresh_session(again: str) -> None:
    """A field that somebody adds to a session and forgets to set back is found here."""
    client = at_work()
    client.say(again)
    fresh, session = client.server.connect().session, client.session
    if again == "USER bob":
        assert session.parameters.login == Named("bob")
        session.parameters.login = None
    assert session.parameters == fresh.parameters
    expected, found = comparable(fresh), comparable(session)
    for name in OF_TLS if again == "AUTH TLS" else ():
        assert (found.pop(name), expected.pop(name)) != (None, None)
    assert found == expected


def comparable(session: Session) -> dict[str, object]:
    """Return what must be alike in two sessions without users."""
    values = {name: value for name, value in state(session).items() if name not in OF_THE_CONNECTION}
    dtp, who, ownership = values.pop("dtp"), values.pop("who"), values.pop("ownership")
    assert isinstance(dtp, ServerDTP)
    values["who"] = (who.user, who.peer, who.host)
    values["ownership"] = ownership._holder is None
    for name, value in state(dtp).items():
        if name not in OF_THE_LAST_DATA_CONNECTION and name not in ("judge", "_agreement"):
            values[f"dtp.{name}"] = len(value._tails) if name == "tails" else value
    return values


def test_the_next_user_is_given_their_own() -> None:
    """After REIN the rates, the encoding and the rest are those of the user who logs in then."""
    client = at_work()
    client.say("REIN")
    client.say("USER alice")
    client.say(f"PASS {PASSWORD}")
    assert client.session.parameters.charset.name == "cp1252"
    assert client.session.parameters.facts == client.server.connect().session.parameters.facts
