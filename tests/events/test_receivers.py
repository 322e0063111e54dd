"""The ways to other systems, each with its real counterpart: a webhook over HTTPS, a program, a file."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ftpsd.config.automation.event_sinks import EventSink
from ftpsd.config.automation.sink_files import SinkFiles
from ftpsd.events.record_tables import Record
from ftpsd.events.sinks.json_lines import JSONLines
from ftpsd.events.sinks.program_sink import Program
from ftpsd.events.sinks.receiver import NotTaken
from ftpsd.events.sinks.webhook import Webhook, signature
from tests.e2e.polling import eventually
from tests.events.receiver import Hooks, take
from tests.sources.turning import failure_of, lookups, outcome, reactor

DATA = {"time": "2026-12-01T09:30:12.250134Z", "event": "file-stored", "user": "al ice", "bytes": 5}


def record(number: int = 1, name: str = "a", file: bytes = b"/srv/a") -> Record:
    """Return an event about a file of that name."""
    data = json.dumps({**DATA, "path": f"/{name}"})
    return Record(number, f"abc-{number}", "file-stored", 1.0, (f"/{name}",), file, data)


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[Hooks]:
    """A receiver."""
    receiver = Hooks(tmp_path)
    yield receiver
    receiver.stop()


def webhook(hooks: Hooks, **changes: Any) -> Webhook:
    """Return a webhook that leads to *hooks*."""
    settings = EventSink.model_validate(hooks.sink(**changes))
    return Webhook(settings, SinkFiles((hooks.key,), hooks.identity.authority.read_bytes()), reactor, lookups())


def why(answer: Deferred[None]) -> str:
    """Return why an event was not taken."""
    error = failure_of(answer)
    assert isinstance(error, NotTaken), error
    return str(error)


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the libraries of Standard Webhooks; with two keys there are two signatures."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == expected
    both = signature([bytes(24), key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body).split()
    assert (len(both), both[1]) == (2, expected)


def test_statuses_and_redirects(hooks: Hooks) -> None:
    """2xx is taken and nothing else; a redirect, be it to this machine, is not followed."""
    sink = webhook(hooks)
    for status in (200, 204, 299):
        hooks.answer = lambda _, __, status=status: status  # type: ignore[misc]
        outcome(sink.send([record()]))
    for status in (400, 410, 500, 503):
        hooks.answer = lambda _, __, status=status: status  # type: ignore[misc]
        assert why(sink.send([record()])) == f"it answered {status}"

    def elsewhere(request: BaseHTTPRequestHandler, _: dict[str, Any]) -> int:
        request.send_response(307)
        request.send_header("location", f"https://127.0.0.1:{hooks.port}/inside")
        request.send_header("content-length", "0")
        request.end_headers()
        return 0

    hooks.answer = elsewhere
    count = len(hooks.got)
    assert "it redirects (307), which is not followed" in why(sink.send([record()]))
    assert len(hooks.got) == count + 1


def test_a_receiver_that_is_slow_or_says_too_much(hooks: Hooks) -> None:
    """A deadline for the whole, and a bound for what is read."""

    def silent(request: BaseHTTPRequestHandler, _: dict[str, Any]) -> int:
        request.rfile.read(1)  # until the other side has gone
        return 0

    hooks.answer = silent
    assert why(webhook(hooks, timeout="0.3s").send([record()])) == "it has not answered within 0.3 s"

    def drips(request: BaseHTTPRequestHandler, _: dict[str, Any]) -> int:
        request.send_response(200)
        request.send_header("content-length", "1000000")
        request.end_headers()
        request.rfile.read(1)
        return 0

    hooks.answer = drips
    assert why(webhook(hooks, timeout="0.3s").send([record()])) == "it has not answered within 0.3 s"

    def huge(request: BaseHTTPRequestHandler, _: dict[str, Any]) -> int:
        request.send_response(200)
        request.end_headers()
        try:
            for _number in range(1000):
                request.wfile.write(bytes(65536))
        except OSError:
            request.server.cut = True  # type: ignore[attr-defined]
        return 0

    hooks.answer = huge
    said = why(webhook(hooks).send([record()]))
    assert "longer than" in said or "closed the connection" in said
    hooks.answer = take
    outcome(webhook(hooks).send([record()]))


def test_addresses_inside(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is checked when it is connected to, whatever the name has meant a moment before (DNS rebinding)."""
    assert "is private; see allow_private" in why(webhook(hooks, networks=[]).send([record()]))
    answers = iter((["192.0.2.1"], ["127.0.0.1"], ["169.254.169.254"], ["::ffff:10.0.0.1"]))
    monkeypatch.setattr("ftpsd.outward.connecting.look_up", lambda _: next(answers))
    sink = webhook(hooks, networks=[], timeout="0.3s")
    for _ in range(4):
        said = why(sink.send([record()]))
        assert "is private" in said or "has not answered" in said or "nreachable" in said, said
    assert hooks.got == []


def test_another_server_or_none(hooks: Hooks, tmp_path: Path) -> None:
    """A certificate of another authority, and a port where nobody listens."""
    other = Hooks(tmp_path / "other")
    settings = EventSink.model_validate(hooks.sink())
    stranger = Webhook(settings, SinkFiles((hooks.key,), other.identity.authority.read_bytes()), reactor, lookups())
    assert "certificate is not to be trusted" in why(stranger.send([record()]))
    other.stop()
    assert why(webhook(other).send([record()]))
    assert hooks.got == []


def program(code: str, *more: str, **settings: Any) -> Program:
    """Return a sink that runs Python *code*."""
    arguments = [sys.executable, "-c", code, *more]
    sink = EventSink.model_validate({"name": "p", "program": arguments, **settings})
    return Program(sink, reactor.callFromThread)


def test_a_program_gets_words_and_no_shell(tmp_path: Path) -> None:
    """Each template is one argument, whatever is in a name; the event is on standard input; nothing is inherited."""
    out = tmp_path / "out"
    code = "import json,os,sys; json.dump([sys.argv[2:], sys.stdin.read(), dict(os.environ)], open(sys.argv[1], 'w'))"
    name = "x; rm -rf $HOME `id` \"'{user}"
    os.environ["FTPSD_TEST_SECRET"] = "secret"
    sink = program(code, str(out), "{path}", "{user}-{size}", "{file}", "{{}}", "{sha256}")
    outcome(sink.send([record(name=name, file=b"/srv/\xff" + name.encode())]))
    arguments, body, environ = json.loads(out.read_text())
    file = (b"/srv/\xff" + name.encode()).decode("utf-8", "surrogateescape")
    assert arguments == [f"/{name}", "al ice-5", file, "{}", ""]
    assert json.loads(body)["id"] == "abc-1"
    assert set(environ) <= {"PATH", "LANG", "LC_CTYPE"}
    sink.stop()


def test_programs_that_fail(tmp_path: Path) -> None:
    """The code, what it said, in one line and cut, or that it took too long, with all that it has started."""
    sink = program("import sys; sys.stderr.write('no\\x1b[31m\\nroom' + 'x' * 9999); sys.exit(3)")
    said = why(sink.send([record()]))
    assert said.startswith("it ended with 3: no [31m room")
    assert len(said) < 300
    assert said.isprintable()
    mark = tmp_path / "mark"
    child = f"import time; time.sleep(60); open({str(mark)!r}, 'w')"
    pids = tmp_path / "pids"
    code = (
        f"import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', {child!r}]);"
        f"open({str(pids)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    )
    assert why(program(code, timeout="2s").send([record()])) == "it has not ended within 2 s"
    state = Path(f"/proc/{pids.read_text()}/stat")
    eventually(lambda: not state.exists() or state.read_text().split()[2] == "Z", "the end of the child", 20)
    missing = EventSink.model_validate({"name": "p", "program": ["/none"]})
    assert "cannot be run" in why(Program(missing, reactor.callFromThread).send([record()]))


def test_a_file_that_is_moved_away_or_cut_off(tmp_path: Path) -> None:
    """Lines are whole: one that a crash has cut off is ended first; a link is not followed."""
    path = tmp_path / "events.jsonl"
    sink = JSONLines("f", path, reactor.callFromThread)
    outcome(sink.send([record(1), record(2)]))
    path.rename(tmp_path / "old")
    path.write_bytes(b'{"cut')
    outcome(sink.send([record(3)]))
    lines = path.read_bytes().split(b"\n")
    assert (lines[0], json.loads(lines[1])["id"], lines[2]) == (b'{"cut', "abc-3", b"")
    assert len((tmp_path / "old").read_bytes().splitlines()) == 2
    path.unlink()
    path.symlink_to(tmp_path / "old")
    assert "cannot be written" in why(sink.send([record(4)]))
    sink.stop()


def test_a_program_has_ended_when_it_has_ended() -> None:
    """A child that it leaves behind, with its standard error, does not make a failure of it, which comes again."""
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    outcome(program(code, timeout="10s").send([record()]))
    loud = "import os, sys; os.write(2, b'why ' + b'x' * 1_000_000); sys.exit(3)"
    assert why(program(loud).send([record()])).startswith("it ended with 3: why xxx")
