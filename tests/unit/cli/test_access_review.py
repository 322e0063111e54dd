"""`ftpsd access`: the table, CSV and JSON of who may do what where."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ftpsd.auth.certified.pins import give_ticket
from ftpsd.cli.program import main
from ftpsd.config.reading import load_config
from ftpsd.durable.opening import state_opened
from ftpsd.service.inspecting.everybody import People, Wanted, rows
from ftpsd.service.inspecting.last_use import LastUse

USERS = """\
roles:
  reader:
    rules:
      - {path: /**, allow: [list, read]}
  partner:
    like: reader
    rules:
      - {path: /secret/**, allow: []}
      - {path: /in/**, allow: [upload]}
groups:
  acme:
    home: /srv/acme/{user}
    role: partner
    networks: [192.0.2.0/24]
    hours: {days: [mon-fri], from: "06:00", to: "20:00"}
users:
  alice:
    group: acme
    password: '$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA'
    mounts:
      - {path: /shared, directory: /srv/shared, role: reader}
  bob: {home: /srv/bob, enabled: false}
  "=cmd()": {home: /srv/x, rules: [{path: "/a", allow: [read]}], expires: 2020-01-01}
"""
CONFIG = """\
users: users.yaml
audit: {log: audit.jsonl}
virtual_hosts:
  - {names: [b.example.com], users: others.yaml}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "ftpsd.yaml").write_text(CONFIG)
    (tmp_path / "users.yaml").write_text(USERS)
    (tmp_path / "others.yaml").write_text("users: {alice: {home: /srv/b/alice}}\n")
    return tmp_path


def run(site: Path, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["access", "--config", str(site / "ftpsd.yaml"), *arguments])
    assert result.exit_code == code, result.output
    return result


def found(site: Path, *arguments: str) -> list[dict[str, Any]]:
    rights: list[dict[str, Any]] = json.loads(run(site, *arguments, "--json").stdout)
    return rights


def test_every_right_has_its_place(site: Path) -> None:
    """Host, user, path, permissions and the line of the rule; paths that mounts hold, and the end of each tree."""
    place = f"{site}/users.yaml:"
    rights = [
        (right["user"], right["path"], " ".join(right["permissions"]), right["source"], right["place"])
        for right in found(site)
        if not right["host"]
    ]
    assert rights == [
        ("alice", "/", "list read", "role reader", f"{place}4"),
        ("alice", "/shared", "list read", "role reader", f"{place}4"),
        ("alice", "/shared/**", "list read", "role reader", f"{place}4"),
        ("alice", "/shared/**", "", "user alice", f"{place}21"),
        ("alice", "/secret/**", "", "role partner", f"{place}8"),
        ("alice", "/in/**", "upload", "role partner", f"{place}9"),
        ("alice", "/**", "list read", "role reader", f"{place}4"),
        ("alice", "/**", "", "user alice", f"{place}18"),
        ("bob", "/**", "all", "user bob", f"{place}22"),
        ("=cmd()", "/a", "read", "user =cmd()", f"{place}23"),
        ("=cmd()", "/**", "", "user =cmd()", f"{place}23"),
    ]
    states = {(right["host"], right["user"]): right["status"] for right in found(site)}
    assert states.pop(("", "alice")) in ("active", "outside of hours")
    assert states == {
        ("", "bob"): "disabled",
        ("", "=cmd()"): "expired",
        ("b.example.com", "alice"): "no password",
    }
    alice = found(site, "--user", "alice")[0]
    assert (alice["networks"], alice["hours"]) == (["192.0.2.0/24"], ["mon-fri 06:00-20:00 UTC"])
    assert (alice["group"], alice["role"], alice["mount"]) == ("acme", "partner", None)


def test_a_part_of_it(site: Path) -> None:
    """One user on every host, what decides about a path, what comes from a role."""
    assert {right["host"] for right in found(site, "--user", "alice")} == {"", "b.example.com"}
    rights = [(right["host"], right["user"], right["path"]) for right in found(site, "--path", "/secret/x")]
    assert rights == [("", "bob", "/**"), ("b.example.com", "alice", "/**")]
    rights = [(right["host"], right["user"], right["path"]) for right in found(site, "--path", "/shared/x")]
    assert rights[0] == ("", "alice", "/shared/**")
    assert [right["path"] for right in found(site, "--role", "partner")] == [
        "/",
        "/secret/**",
        "/in/**",
        "/**",
        "/**",
    ]
    assert "There is no user carol" in run(site, "--user", "carol", code=2).output
    assert "There is no role x" in run(site, "--role", "x", code=2).output
    assert "one of the two" in run(site, "--csv", "--json", code=2).output


def test_a_user_of_a_source(site: Path) -> None:
    """Is named with the state and the last use, and the rights are said to be the source's."""
    entry = "  carol: {source: ldap, second_factor: required, networks: [192.0.2.0/24]}\n"
    (site / "users.yaml").write_text(USERS + entry)
    lines = [
        {"event": "logged-in", "time": "2027-01-01T00:00:00Z", "user": "carol"},
        {"event": "file-sent", "time": "2027-01-01T00:00:01Z", "user": "carol", "path": "/a"},
        {"event": "logged-in", "time": "2027-01-02T00:00:00Z", "user": "dave"},
    ]
    (site / "audit.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (right,) = found(site, "--user", "carol")
    assert [right[key] for key in ("status", "permissions", "source", "place", "networks")] == [
        "no second factor",
        None,
        "ldap",
        f"{site}/users.yaml:24",
        ["192.0.2.0/24"],
    ]
    assert (right["last_login"], right["last_use"]) == ("2027-01-01T00:00:00Z", "2027-01-01T00:00:01Z")
    assert "rights as ldap says" in run(site, "--user", "carol", "--csv").stdout
    assert right in found(site, "--path", "/a")
    assert right not in found(site, "--role", "partner")
    told = CliRunner().invoke(main, ["explain", "--config", str(site / "ftpsd.yaml"), "carol", "read", "/a"])
    assert (told.exit_code, "carol is a user of ldap" in told.output) == (2, True)


def test_a_spreadsheet_computes_nothing(site: Path) -> None:
    """Cells that begin as formulas do are text."""
    lines = list(csv.DictReader(io.StringIO(run(site, "--csv").stdout)))
    assert {line["user"] for line in lines} == {"alice", "bob", "'=cmd()"}
    assert [line["permissions"] for line in lines if line["user"] == "'=cmd()"] == ["read", "none"]
    assert all(not cell.startswith(("=", "+", "-", "@")) for line in lines for cell in line.values())


def test_no_two_users_look_alike(site: Path) -> None:
    """Letters that cannot be printed are escaped, in CSV and in the table."""
    users = "users:\n" + "".join(f'  "a\\u{code}b": {{home: /srv/x}}\n' for code in ("202e", "2028"))
    (site / "users.yaml").write_text(users)
    lines = list(csv.DictReader(io.StringIO(run(site, "--csv").stdout)))
    assert {line["user"] for line in lines} == {"a\\u202eb", "a\\u2028b", "alice"}
    for name in ("a\\u202eb", "a\\u2028b"):
        assert f"-\t{name}\t" in run(site).stdout


def test_who_cannot_log_in_is_not_active(site: Path) -> None:
    """For want of a certificate, pinned or listed, or of a second factor that has to be there."""
    listed = "certificates: [{subject_alternative_name: a@example.com}]"
    hashed = "password: '$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA'"
    (site / "ftpsd.yaml").write_text("users: users.yaml\naudit: {log: stdout}\nstate: state.db\n")
    (site / "users.yaml").write_text(
        "roles: {strict: {rules: [], second_factor: required}}\nusers:\n"
        "  none: {home: /srv/x, authentication: certificate}\n"
        "  pinned: {home: /srv/x, authentication: certificate}\n"
        f"  listed: {{home: /srv/x, authentication: certificate, {listed}}}\n"
        f"  both: {{home: /srv/x, authentication: certificate-and-password, {hashed}}}\n"
        f"  bare: {{home: /srv/x, role: strict, {hashed}}}\n"
        f"  plain: {{home: /srv/x, {hashed}}}\n"
    )
    with state_opened(site / "state.db") as connection:
        give_ticket(connection, "pinned", "enrol-TICKET", time.time() + 600)
    assert {right["user"]: right["status"] for right in found(site)} == {
        "none": "no certificate",
        "pinned": "active",
        "listed": "active",
        "both": "no certificate",
        "bare": "no second factor",
        "plain": "active",
    }


def test_the_table_names_what_is_not_known(site: Path) -> None:
    """Without a log, nothing is known of the last use, and that is said on standard error."""
    result = run(site)
    assert result.stdout.splitlines()[0].split("\t")[:4] == ["host", "user", "status", "path"]
    assert "The last use is not known: there is no" in result.stderr
    (site / "ftpsd.yaml").write_text("users: users.yaml\naudit: {log: stdout}\n")
    assert "audit.log is stdout; name one with --log" in run(site).stderr


def event(time: str, name: str, user: str = "alice", **more: str) -> bytes:
    return json.dumps({"time": time, "event": name, "session": "1", "user": user, **more}).encode() + b"\n"


def test_the_last_use_comes_from_the_log_and_its_rotated_files(site: Path) -> None:
    """The newest of all files; refused attempts, other hosts, users who are gone and broken lines are none."""
    log = site / "audit.jsonl"
    log.write_bytes(
        event("2027-01-05T00:00:00Z", "file-sent", path="/x", result="complete")
        + event("2027-01-09T00:00:00Z", "file-sent", path="/x", result="refused")
        + event("2027-01-06T00:00:00Z", "file-renamed", old="/shared/a", new="/in/a")
        + event("2027-01-07T00:00:00Z", "logged-in", host="b.example.com")
        + event("2027-01-08T00:00:00Z", "file-sent", user="gone", path="/x")
        + event("2027-01-09T00:00:00Z", "command", command="RETR", argument="/x")
        + b"{broken\n[]\n\xff\n"
        + b"x" * (3 << 20)
        + b"\n"
        + event("2027-01-04T00:00:00Z", "directory-listed", path="/", result="complete")
        + b'{"time":"2027-01-09T00:00:00Z","ev'
    )
    (site / "audit.jsonl.1").write_bytes(event("2027-01-02T00:00:00Z", "logged-in"))
    with gzip.open(site / "audit.jsonl.2.gz", "wb") as stream:
        stream.write(event("2026-12-01T00:00:00Z", "file-stored", path="/in/b", result="complete") * 2)
        stream.write(event("2026-12-24T00:00:00Z", "file-stored", user="bob", path="/b", result="complete"))
    whole = (site / "audit.jsonl.2.gz").read_bytes()
    (site / "audit.jsonl-20261101.gz").write_bytes(whole[: len(whole) // 2])
    (site / "audit.jsonl.notes").write_bytes(event("2028-01-01T00:00:00Z", "logged-in"))
    used = {
        (right["user"], right["path"]): (right["last_login"], right["last_use"])
        for right in found(site)
        if not right["host"] and right["last_use"]
    }
    login = "2027-01-02T00:00:00Z"
    assert used == {
        ("alice", "/"): (login, "2027-01-04T00:00:00Z"),
        ("alice", "/shared/**"): (login, "2027-01-06T00:00:00Z"),
        ("alice", "/in/**"): (login, "2027-01-06T00:00:00Z"),
        ("alice", "/**"): (login, "2027-01-05T00:00:00Z"),
        ("bob", "/**"): (None, "2026-12-24T00:00:00Z"),
    }
    (other,) = (right for right in found(site, "--log", str(log)) if right["host"])
    assert other["last_login"] == "2027-01-07T00:00:00Z"


def test_the_program_prints_it(site: Path) -> None:
    """The real one, as a script calls it."""
    done = subprocess.run(
        [sys.executable, "-m", "ftpsd", "access", "--config", str(site / "ftpsd.yaml"), "--csv"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(list(csv.reader(io.StringIO(done.stdout)))) == 13


@pytest.mark.slow
def test_ten_thousand_users_are_reviewed_in_little_memory(site: Path) -> None:
    """Rows are made one by one, and what is kept of the log is a moment for each right that was used."""
    text = "roles: {p: {rules: [{path: /in/**, allow: [upload]}, {path: /**, allow: [list]}]}}\nusers:\n"
    (site / "users.yaml").write_text(text + "".join(f"  user{n}: {{home: /srv/{n}, role: p}}\n" for n in range(10_000)))
    log = site / "audit.jsonl"
    with open(log, "wb") as stream:
        for number in range(20_000):
            stream.write(event("2027-01-05T00:00:00Z", "file-sent", user=f"user{number % 10}", path=f"/in/{number}"))
    people = People.of(load_config(site / "ftpsd.yaml"))
    last = LastUse(people.review)
    tracemalloc.start()
    try:
        last.read(log)
        count = sum(1 for _ in rows(people, Wanted(), last))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 30_001
    assert len(last.uses) == 10
    assert peak < 8 << 20
