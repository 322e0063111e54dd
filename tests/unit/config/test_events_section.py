"""The section `events`: its values, and what its keys and files must have together."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from ftpsd.config.automation.sink_files import look_at_events, read_sink_files
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.config.reading import read_config

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
TRUSTED = frozenset({0})


def complaints(folder: Path, events: Any, **keys: Any) -> list[str]:
    """Return all that is wrong with a section."""
    text = json.dumps({"events": events, **keys})
    try:
        config = read_config(text, "ftpsd.yaml", folder)
    except ConfigErrors as problem:
        return [str(error) for error in problem.errors]
    return [str(error) for error in (*look_at_events(config, TRUSTED), *read_sink_files(config)[1])]


def test_what_is_good_and_what_is_not(tmp_path: Path) -> None:
    """Each mistake is one sentence at its key."""
    secret, weak, shared = tmp_path / "secret", tmp_path / "weak", tmp_path / "shared"
    for file, text, mode in ((secret, SECRET, 0o600), (weak, "whsec_abc", 0o600), (shared, SECRET, 0o604)):
        file.write_text(text + "\n")
        file.chmod(mode)
    hook = {"name": "a", "webhook": "https://example.com/in", "secret_file": "secret"}
    assert complaints(tmp_path, {}) == []
    assert complaints(tmp_path, {"sinks": [hook, {"name": "b", "file": "events.jsonl"}]}) == []
    assert complaints(tmp_path, {"sinks": [{"name": "c", "program": ["/bin/true", "{file}", "{{}}"]}]}) == []
    wrong: list[tuple[Any, str]] = [
        ({"sinks": [{"name": "a"}]}, "needs one of webhook, program, file and broker, and has none"),
        ({"sinks": [{**hook, "file": "x"}]}, "and has webhook and file"),
        ({"sinks": [hook, hook]}, "another sink is called a"),
        ({"sinks": [{**hook, "secret_file": None}]}, "what is sent is signed"),
        ({"sinks": [{**hook, "secret_file": "weak"}]}, "holds no secret in the form of Standard Webhooks"),
        ({"sinks": [{**hook, "secret_file": "shared"}]}, "open to others on this machine; run: chmod o-rwx,g-w"),
        ({"sinks": [{**hook, "secret_file": "none"}]}, "cannot be read"),
        ({"sinks": [{**hook, "authority": "secret"}]}, "holds no certificate"),
        ({"sinks": [{**hook, "webhook": "http://example.com"}]}, "write https://"),
        ({"sinks": [{**hook, "only": ["file-sent"]}]}, "file-sent is not recorded"),
        ({"sinks": [{**hook, "name": "10.0.0.1"}]}, "name"),
        ({"sinks": [{"name": "a", "program": ["true"]}]}, "not the whole path of a program"),
        ({"sinks": [{"name": "a", "program": ["/bin/none"]}]}, "/bin/none is not there"),
        ({"sinks": [{"name": "a", "program": ["/bin/true", "{name}"]}]}, "{name} is no field of an event"),
        ({"sinks": [{"name": "a", "program": ["/bin/true", "{file.x}"]}]}, "is no field of an event"),
        ({"sinks": [{"name": "a", "program": ["/bin/true", "{"]}]}, "single brace"),
        ({"sinks": [{"name": "a", "file": "none/x"}]}, "mkdir -p"),
        ({"sinks": [{"name": "a", "file": "x", "secret_file": "secret"}]}, "secret_file belongs to a webhook"),
        ({"temporary": ["*"]}, "would hold every upload back"),
        ({"record": ["session-opened"]}, "record"),
    ]
    bus = {"kind": "nats", "servers": ["nats.example.com:4222"]}
    assert complaints(tmp_path, {"sinks": [{"name": "a", "broker": bus}]}) == []
    local = {**bus, "servers": ["127.0.0.1:1", "[::1]:2", "localhost:3"], "tls": False}
    assert complaints(tmp_path, {"sinks": [{"name": "a", "broker": local}]}) == []
    brokers: list[tuple[dict[str, Any], str]] = [
        ({"servers": ["nats.example.com"]}, "write its name and port"),
        ({"servers": ["nats://a:1"]}, "write its name and port"),
        ({"servers": []}, "must not be empty"),
        ({"topic": "a b"}, "is not a topic"),
        ({"topic": "{user}"}, "is not a topic"),
        ({"tls": False}, "may go to this machine alone"),
        ({"user": "a"}, "a user needs a password_file"),
        ({"user": "a", "password_file": "shared"}, "open to others on this machine"),
        ({"exchange": "x"}, "exchange belongs to amqp"),
        ({"kind": "mqtt"}, "kind"),
    ]
    wrong += [({"sinks": [{"name": "a", "broker": {**bus, **keys}}]}, sentence) for keys, sentence in brokers]
    for events, sentence in wrong:
        found = complaints(tmp_path, events)
        assert len(found) == 1, (events, found)
        assert sentence in found[0], (events, found)
        assert SECRET not in found[0]
        assert found[0].startswith("ftpsd.yaml:")
    assert "name one in `state`" in complaints(tmp_path, {}, state=None)[0]
