"""The sections `workflows` and `mail`: their values, and what their keys and files must have together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftpsd.config.automation.workflow_files import look_at_workflows, read_workflow_files
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.config.reading import read_config

TRUSTED = frozenset({0})
MAIL = {"server": "smtp.example.com", "sender": "ftpsd@example.com"}
KEY = "A" * 40


def complaints(folder: Path, workflows: Any, **keys: Any) -> list[str]:
    """Return all that is wrong with the sections."""
    text = json.dumps({"events": {}, "workflows": workflows, **keys})
    try:
        config = read_config(text, "ftpsd.yaml", folder)
    except ConfigErrors as problem:
        return [str(error) for error in problem.errors]
    return [str(error) for error in (*look_at_workflows(config, TRUSTED), *read_workflow_files(config)[1])]


def of(*steps: Any, **keys: Any) -> list[dict[str, Any]]:
    """Return a section with one workflow."""
    return [{"name": "w", "steps": [*steps], **keys}]


def test_what_is_good_and_what_is_not(tmp_path: Path) -> None:
    """Each mistake is one sentence at its key."""
    for name, text, mode in (("password", "secret", 0o600), ("open", "secret", 0o604), ("empty", "\n", 0o600)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    program, mail = {"program": ["/bin/true", "{file}"]}, {"mail": {"to": ["ops@example.com"]}}
    good = of({"move": "/done/{date}/"}, program, {"rename": "{id}{suffix}"}, {"copy": "{folder}/x/{name}"})
    assert complaints(tmp_path, good) == []
    assert complaints(tmp_path, of(mail, on_failure=[mail]), mail=MAIL) == []
    assert complaints(tmp_path, of({"pgp": {"encrypt_to": [KEY]}})) == []
    wrong: list[tuple[Any, str]] = [
        (of(), "must not be empty"),
        (of({}), "a step is one of move, copy, rename"),
        (of({**program, "move": "/x/"}), "and this has move and program"),
        (of({"move": "done/{name}"}), "is not a path of the user's tree"),
        (of({"move": "/a/../b"}), "has //, . or .. in it"),
        (of({"move": "/a/{folder}/b"}), "is not a path of the user's tree"),
        (of({"move": "/a/{folders}"}), "{folders} is no field of an event"),
        (of({"move": "/a/{name.x}"}), "is no field of an event"),
        (of({"move": "/a/{name!r}"}), "is no field of an event"),
        (of({"move": "/a/{"}), "single brace"),
        (of({"rename": "a/{name}"}), "is not one name"),
        (of({"program": ["true"]}), "not the whole path of a program"),
        (of({"webhook": "https://example.com/in"}), "what is sent is signed"),
        (of({**program, "secret_file": "password"}), "secret_file belongs to a webhook"),
        (of(mail), "write the section `mail`"),
        (of({"mail": {"to": ["ops"]}}), "is not the address of a mailbox"),
        (of({"mail": {"to": ["a@b.c\nBcc: d@e.f"]}}), "is not the address of a mailbox"),
        (of({"push": {"partner": "acme"}}), "there is no partner acme"),
        (of({"push": {"partner": "acme", "to": "x"}}), "is not a path"),
        (of({"pgp": {}}), "neither or both of encrypt_to and decrypt"),
        (of({"pgp": {"decrypt": True, "sign_with": KEY}}), "goes with encrypt_to alone"),
        (of({"pgp": {"encrypt_to": [KEY], "verify_from": [KEY]}}), "goes with decrypt: true alone"),
        (of(program, on=["file-sent"]), "file-sent is not recorded"),
        (of(program, on=["opened"]), "on"),
        (of(program, paths=["in"]), "begin it with /"),
        (of(program, names=["a/b"]), "is no pattern of file names"),
        (of(program, min_size=2, max_size=1), "is above max_size"),
        (of(program, name="a.b"), "name"),
        ([*of(program), *of(program)], "another workflow is called w"),
    ]
    for workflows, sentence in wrong:
        found = complaints(tmp_path, workflows)
        assert len(found) == 1, (workflows, found)
        assert sentence in found[0], (workflows, found)
        assert found[0].startswith("ftpsd.yaml:1:"), found
    gone = complaints(tmp_path, of({"move": "/x/"}, on=["file-deleted"]), events={"record": ["file-deleted"]})
    assert len(gone) == 1
    assert "behind file-deleted there is no file to move" in gone[0]
    assert "write the section `events`" in complaints(tmp_path, good, events=None)[0]
    servers: list[tuple[dict[str, Any], str]] = [
        ({"user": "a"}, "a user needs a password_file"),
        ({"user": "a", "password_file": "open"}, "open to others on this machine"),
        ({"user": "a", "password_file": "empty"}, "is empty"),
        ({"user": "a", "password_file": "none"}, "cannot be read"),
        ({"security": "none"}, "may go to this machine alone"),
        ({"security": "none", "server": "127.0.0.1", "user": "a", "password_file": "password"}, "would go in clear"),
        ({"authority": "password"}, "holds no certificate"),
    ]
    for keys, sentence in servers:
        found = complaints(tmp_path, [], mail={**MAIL, **keys})
        assert len(found) == 1, (keys, found)
        assert sentence in found[0], (keys, found)
        assert "secret" not in found[0]
    assert complaints(tmp_path, [], mail={**MAIL, "user": "a", "password_file": "password"}) == []
    assert complaints(tmp_path, [], mail={**MAIL, "security": "none", "server": "localhost"}) == []
