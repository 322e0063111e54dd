"""`ftpsd user set|enable|disable|generate|show`, and `add` into a group."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ftpsd.auth.hashing.passwords import verify
from ftpsd.cli.program import main
from ftpsd.config.users import load_users

HASH = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA"
USERS = f"""\
roles:
  base: {{rules: [{{path: /**, allow: [list]}}], sessions: 4}}
  partner:
    like: base
    rules:
      - {{path: /in/**, allow: [upload]}}
groups:
  acme:
    home: HOMES/{{user}}
    role: partner
    networks: [192.0.2.0/24]
    mounts:
      - {{path: /shared, directory: /srv/shared, role: base}}
users:
  alice:   # ours
    group: acme
    password: '{HASH}'
    expires: 2030-01-01
    second_factor: {{totp: JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "users.yaml"
    file.write_text(USERS.replace("HOMES", str(tmp_path / "homes")))
    return file


def run(path: Path, *arguments: str, code: int = 0, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(main, ["user", *arguments, "--users", str(path)], input=stdin)
    assert result.exit_code == code, result.output
    return result


def test_keys_are_set_and_taken_out(path: Path) -> None:
    """Values are YAML, an empty one takes the key out, and what comes of it is told."""
    result = run(
        path, "set", "alice", "sessions=2", "expires=", 'hours={days: [mon-fri], from: "06:00"}', "networks=[]"
    )
    assert "changed sessions, expires, hours, networks of alice" in result.output
    alice = load_users(path).users["alice"]
    assert (alice.sessions, alice.expires, alice.networks) == (2, None, ())
    assert [str(hours) for hours in alice.hours] == ["mon-fri 06:00-24:00 UTC"]
    assert "alice:   # ours" in path.read_text()


def test_what_cannot_be_set_is_told(path: Path) -> None:
    """The key and the fix; nothing is written, and no secret is taken as an argument."""
    before = path.read_text()
    for arguments, sentence in (
        (("networks=[10.0.0.1/8]",), "networks[0]: 10.0.0.1/8 has bits beyond its prefix; did you mean 10.0.0.0/8?"),
        (("sessions=0",), "sessions: 0 is too small; the least is 1\nNothing was written."),
        (("sesions=1",), "sesions is not a key of a user; did you mean sessions?"),
        (("sessions",), "sessions has no value; write KEY=VALUE"),
        (
            ("password=hunter2",),
            "password is no argument, which everybody on this machine could read: ftpsd user passw",
        ),
        (("rules=[{path: /, allow",), "rules: not YAML"),
        (("sessions=1", "sessions=2"), "A key is there twice"),
    ):
        result = run(path, "set", "alice", *arguments, code=2)
        assert sentence in result.stderr, result.stderr
        assert "hunter2" not in result.output
        assert path.read_text() == before
    assert "no user zoe" in run(path, "set", "zoe", "sessions=1", code=2).stderr


def test_the_switch(path: Path) -> None:
    """Disabled, enabled, and said when nothing was to be done."""
    assert "disabled alice" in run(path, "disable", "alice").output
    assert not load_users(path).users["alice"].enabled
    assert "alice was disabled already" in run(path, "disable", "alice").output
    assert "enabled alice" in run(path, "enable", "alice").output
    assert load_users(path).users["alice"].enabled
    assert "no user zoe" in run(path, "disable", "zoe", code=2).stderr


def test_a_password_is_generated_and_printed_once(path: Path) -> None:
    """Alone on standard output; it is the one that logs in, and no two are alike."""
    first, second = (run(path, "generate", "alice") for _ in range(2))
    assert re.fullmatch(r"([a-hjkmnp-z2-9]{5}-){4}[a-hjkmnp-z2-9]{5}\n", first.stdout)
    assert first.stdout != second.stdout
    stored = load_users(path).users["alice"].password
    assert verify(second.stdout.rstrip("\n"), stored)
    assert second.stdout.strip() not in second.stderr + path.read_text()


def test_show_says_where_everything_comes_from(path: Path) -> None:
    """Each value with its section and line; no hash."""
    result = run(path, "show", "alice", "--json")
    assert HASH not in result.output
    assert "JBSWY3DP" not in result.output
    shown = json.loads(result.output)
    assert shown["name"] == "alice"
    rows = [
        (row["key"], row["value"], row["from"], (row["place"] or "").rpartition(":")[2]) for row in shown["settings"]
    ]
    assert ("password", "a $argon2id$ hash", "user alice", "17") in rows
    assert ("second_factor", "TOTP, 0 recovery codes", "user alice", "19") in rows
    assert ("home", str(path.parent / "homes/alice"), "group acme", "9") in rows
    assert ("group", "acme", "user alice", "16") in rows
    assert ("role", "partner", "group acme", "10") in rows
    assert ("networks", ["192.0.2.0/24"], "group acme", "11") in rows
    assert ("sessions", 4, "role base", "2") in rows
    assert ("upload_rate", None, None, "") in rows
    assert ("rules", "{path: /in/**, allow: [upload]}", "role partner", "6") in rows
    assert ("rules", "{path: /**, allow: [list]}", "role base", "2") in rows
    assert ("mount /shared", "/srv/shared", "group acme", "13") in rows
    assert ("mount /shared rules", "{path: /**, allow: [list]}", "role base", "2") in rows
    assert run(path, "show", "alice").output.splitlines()[0] == "key\tvalue\tfrom\tplace"
    assert "There is no user zoe" in run(path, "show", "zoe", code=2).output


def test_a_user_is_added_to_a_group(path: Path) -> None:
    """The home is that of the group, and can be made."""
    result = run(path, "add", "bob", "--group", "acme", "--create-home", "--password-stdin", stdin="open sesame\n")
    assert "added bob" in result.output
    bob = load_users(path).users["bob"]
    assert (bob.home, bob.role, bob.group) == (path.parent / "homes/bob", "partner", "acme")
    assert bob.home.is_dir()
    before = path.read_text()
    assert "--home is missing" in run(path, "add", "carol", "--password-stdin", code=2).stderr
    result = run(path, "add", "../carol", "--group", "acme", "--password-stdin", code=2, stdin="x\n")
    assert "begins with a dot, or holds a /" in result.stderr
    assert path.read_text() == before


@pytest.mark.slow
def test_the_program_does_it(path: Path) -> None:
    """The real one, several at once: no change is lost."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "ftpsd", "user", "set", "alice", setting, "--users", str(path)],
            stdout=subprocess.DEVNULL,
        )
        for setting in ("sessions=7", "upload_rate=1MiB/s", "encoding=gbk")
    ]
    assert [each.wait(60) for each in running] == [0, 0, 0]
    alice = load_users(path).users["alice"]
    assert (alice.sessions, alice.upload_rate, alice.encoding) == (7, 1 << 20, "gbk")
