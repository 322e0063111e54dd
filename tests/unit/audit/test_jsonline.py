"""An event as one line of JSON: keys, time, and text that stays text."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.audit.events import DAEMON, CommandDone, Event, FileSent, LoginRefused, Started, Who
from ftpsd.audit.jsonline import encode_event, encode_lost, format_time
from ftpsd.audit.topics.tree_events import FileDeleted
from ftpsd.values.direction import Result
from tests.unit.audit.samples import EVERY_EVENT, TLS, WHO


def line_of(event: Event, seconds: float = 1_700_000_000.0) -> dict[str, Any]:
    """Return the line for *event*, read again."""
    line: dict[str, Any] = json.loads(encode_event(event, seconds))
    return line


@pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: event.event)
def test_line_is_flat(event: Event) -> None:
    """No value of a line is an object, an array or null."""
    assert all(isinstance(value, str | int | float | bool) for value in line_of(event).values())


@pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: event.event)
def test_line_begins_with_time_and_event(event: Event) -> None:
    """Every line says first when and what."""
    assert list(line_of(event))[:2] == ["time", "event"]


def test_transfer_has_the_promised_keys() -> None:
    """A sent file is told with who, path, bytes, seconds, result, checksum and TLS facts."""
    event = FileSent(WHO, "/a", 3, 0.25, 0, Result.COMPLETE, sha256="00", tls=TLS)
    assert line_of(event) == {
        "time": "2023-11-14T22:13:20.000000Z",
        "event": "file-sent",
        "session": WHO.session,
        "user": WHO.user,
        "peer": WHO.peer,
        "listener": WHO.listener,
        "path": "/a",
        "bytes": 3,
        "seconds": 0.25,
        "offset": 0,
        "result": "complete",
        "sha256": "00",
        "tls": "TLSv1.3 TLS_AES_256_GCM_SHA384 resumed",
    }


def test_unknown_facts_are_left_out() -> None:
    """Facts that nobody knows have no key: no user before the login, nobody at all for the daemon itself."""
    assert set(line_of(Started(DAEMON))) == {"time", "event"}
    assert "user" not in line_of(FileDeleted(Who("s", None, "::1", "explicit:21"), "/a"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (1_700_000_000.123456, "2023-11-14T22:13:20.123456Z"),
        (1_699_999_999.9999998, "2023-11-14T22:13:20.000000Z"),
    ],
)
def test_time_is_rfc_3339_in_utc(seconds: float, text: str) -> None:
    """Time is RFC 3339, UTC, with six digits, rounded over the border of a second."""
    assert format_time(seconds) == text


@pytest.mark.parametrize(
    "hostile",
    [
        'x","event":"logged-in","user":"root',
        'x\r\n{"event":"logged-in"}',
        "\x1b[2J\x1b]0;owned\x07",
        "\x00\x7f\x85\u2028\u2029\u202e",
        "back\\slash\\u0041",
    ],
)
def test_injection_stays_one_value(hostile: str) -> None:
    """Quotes, line ends and terminal codes in a name stay inside the one string value of one printable line."""
    data = encode_event(LoginRefused(WHO, "password", hostile, "wrong-password", 0.1), 0.0)
    assert re.fullmatch(rb"[ -~]+\n", data)
    assert json.loads(data)["name"] == hostile
    assert json.loads(data)["event"] == "login-refused"


@given(st.text(alphabet=st.characters()))
def test_any_text_becomes_one_printable_line(text: str) -> None:
    """The line is printable ASCII, whatever a client sends, and the text, when it is Unicode at all, comes back."""
    data = encode_event(CommandDone(WHO, "CWD", text, 250, 0.1), 0.0)
    assert re.fullmatch(rb"[ -~]+\n", data)
    if not re.search("[\ud800-\udfff]", text):
        assert json.loads(data)["argument"] == text


def test_byte_that_is_no_utf8_is_spelt_out() -> None:
    r"""A name that is not UTF-8 shows the byte as \xff, in JSON that strict readers take, too."""
    path = b"/caf\xe9 \xf0\x9f\x98\x80".decode("utf-8", "surrogateescape")
    data = encode_event(FileDeleted(WHO, path), 0.0)
    assert json.loads(data)["path"] == "/caf\\xe9 \N{GRINNING FACE}"
    json.loads(data)["path"].encode("utf-8")


def test_duration_has_six_digits() -> None:
    """Durations are told to the microsecond."""
    assert line_of(CommandDone(WHO, "NOOP", "", 200, 0.00012345678))["seconds"] == 0.000123


def test_loss_is_a_line_of_its_own() -> None:
    """Lost lines are admitted by number, and without a session."""
    assert json.loads(encode_lost(7, 0.0)) == {"time": "1970-01-01T00:00:00.000000Z", "event": "audit-lost", "lost": 7}


def test_number_that_json_cannot_hold_is_refused() -> None:
    """NaN, which is no JSON, raises instead of making a line nobody can read."""
    with pytest.raises(ValueError):
        encode_event(CommandDone(WHO, "NOOP", "", 200, float("nan")), 0.0)
