"""Second factors and the server around them: the check, the start, reloads, and the clock of the machine."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ftpsd.auth.certified.pins import Pin, give_ticket, pin
from ftpsd.auth.codes import code_of, step_at
from ftpsd.auth.credentials import ILogin, Login
from ftpsd.auth.factors import CLOCK, Passed, Question
from ftpsd.cli.program import main
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.doctor.clocks import look_at_clocks
from ftpsd.durable import facts
from ftpsd.durable.opening import state_opened
from ftpsd.service.daemon import Daemon
from ftpsd.service.load import load
from ftpsd.values.login.second_factor import SecondFactor, digest_of, spelt
from tests.sources.making import cheap_hash
from tests.state import begin_long_ago
from tests.unit.service.site import Site, serving

SECRET = b"12345678901234567890"
FACTOR = f"second_factor: {{totp: {spelt(SECRET)}}}"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def people(site: Site, *lines: str, roles: str = "") -> None:
    """Write a users file with alice, of whom *lines* say more."""
    text = f"{roles}users:\n  alice:\n    home: {site.folder}/home\n" + "".join(f"    {line}\n" for line in lines)
    site.write_users(text)


def check(site: Site) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["check", "--config", str(site.path)])
    return result.exit_code, result.stderr


def test_without_a_state_file_it_is_an_error(site: Site) -> None:
    """Also at the start: codes could be used twice. Disabled users do not matter."""
    people(site, FACTOR)
    site.replace(f"state: {site.folder}/state.db", "state: null")
    code, said = check(site)
    assert code == 2
    assert "users.alice.second_factor: needs a state file, and `state` is null" in said
    with pytest.raises(ConfigErrors, match="needs a state file"):
        load(site.path)
    people(site, FACTOR, "enabled: false")
    assert check(site) == (0, "")


def test_with_a_broken_state_file_the_server_starts(site: Site) -> None:
    """The check has an error, and says who cannot log in; the start a warning."""
    people(site, FACTOR)
    (site.folder / "state.db").write_bytes(b"rubbish" * 1000)
    os.chmod(site.folder / "state.db", 0o600)
    code, said = check(site)
    assert code == 2
    assert "until it can, 1 users with a second factor cannot log in" in said
    assert any("second factor cannot log in" in str(warning) for warning in load(site.path).warnings)
    people(site)
    assert check(site)[0] == 0


@pytest.mark.parametrize("left", [None, b""])
def test_a_state_file_that_is_missing_is_told(site: Site, left: bytes | None) -> None:
    """At the check and the start, where users need it: a new one does not know which codes were used."""
    people(site, FACTOR)
    if left is not None:
        (site.folder / "state.db").write_bytes(left)
        os.chmod(site.folder / "state.db", 0o600)
    code, said = check(site)
    assert code == 0
    assert "state.db is not there, and a new one is begun: it knows of no used code" in said
    assert any("knows of no used code" in str(warning) for warning in load(site.path).warnings)
    begin_long_ago(site.folder / "state.db")
    assert check(site) == (0, "")
    (site.folder / "state.db").unlink()
    people(site)
    assert check(site) == (0, "")


def test_recovery_codes_of_before_the_state_file_are_told(site: Site) -> None:
    """They are refused; those that the command makes are younger than the file, which it begins where there is none."""
    codes = f"totp: {spelt(SECRET)}, recovery: ['{digest_of('abcd-efgh-ijkl-mn23')}']"
    for line, is_told in (
        (f"second_factor: {{{codes}, recovery_made: 2020-01-01T00:00:00Z}}", True),
        (f"second_factor: {{{codes}}}", True),
        (FACTOR, False),
    ):
        people(site, line)
        with state_opened(site.folder / "state.db"):
            code, said = check(site)
        assert code == 0
        assert ("the recovery codes of alice are refused" in said) == is_told
    (site.folder / "state.db").unlink()
    people(site, FACTOR)
    made = CliRunner().invoke(main, ["user", "otp", "alice", "--no-confirm", "--config", str(site.path)])
    assert made.exit_code == 0, made.output
    assert check(site) == (0, "")


def test_pins_of_somebody_who_is_gone_are_told(site: Site) -> None:
    """An editor takes the user out and leaves the pins, which would let the next one of that name in."""
    people(site)
    with state_opened(site.folder / "state.db") as connection:
        for name in ("alice", "bob"):
            give_ticket(connection, name, "enrol-TICKET", time.time() + 600)
            pin(connection, name, "enrol-TICKET", Pin("sha256:" + "0" * 64, "CN=x", time.time()))
    code, said = check(site)
    assert code == 0
    assert "certificates or a ticket of bob are still there, who is in no users file" in said
    assert "run: ftpsd user enrol bob --forget all" in said
    assert "of alice" not in said


@pytest.mark.parametrize(
    ("lines", "roles"),
    [
        (("role: partner",), "roles:\n  partner: {rules: [], second_factor: required}\n"),
        (("role: other",), "roles:\n  partner: {rules: [], second_factor: required}\n  other: {like: partner}\n"),
        (("role: partner", "second_factor: null"), "roles:\n  partner: {rules: [], second_factor: required}\n"),
        (("group: acme",), "groups:\n  acme: {second_factor: required}\n"),
        (("second_factor: required",), ""),
        (("second_factor: {}",), ""),
    ],
)
def test_users_who_have_to_enrol_are_told(site: Site, lines: tuple[str, ...], roles: str) -> None:
    """By their role, the role that is like, their group or themselves; with the command. One who has is fine."""
    people(site, *lines, roles=roles)
    code, said = check(site)
    assert code == 0
    assert "warning: users.alice.second_factor: none is enrolled, so the user cannot log in" in said
    assert "run: ftpsd user otp alice" in said
    people(site, *(line for line in lines if not line.startswith("second")), FACTOR, roles=roles)
    begin_long_ago(site.folder / "state.db")
    assert check(site) == (0, "")


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        ("{totp: GEZDGNBVGY3TQOJQ}", "a secret of 80 bits"),
        ("{totp: 12345678901234567890123456789012}", "not a secret in base32"),
        ("{totp: 'not base32!'}", "not a secret in base32"),
        ("{recovery: []}", "totp"),
        (f"{{totp: {spelt(SECRET)}, recovery: [abc]}}", "not the digest of a recovery code"),
        ("optional", "write required"),
        (spelt(SECRET), "write required"),
    ],
)
def test_a_wrong_one_is_an_error_at_its_place(site: Site, factor: str, words: str) -> None:
    """With line and column, and without a letter of the secret."""
    people(site, f"second_factor: {factor}")
    code, said = check(site)
    assert code == 2
    assert f"{site.users}:4:" in said
    assert words in said
    assert not any(secret in said for secret in ("GEZDG", "12345678", "not base32!", spelt(SECRET), "abc]"))


def question(site: Site, daemon: Daemon, code: str | None) -> Question:
    user = daemon.serving.loaded.users.users["alice"]
    return Question("alice", user, "192.0.2.1", None, code, 900.0)


def test_a_user_who_was_disabled_is_asked_again(site: Site) -> None:
    """A reload that disables, and one that enables again: what was remembered is gone."""
    begin_long_ago(site.folder / "state.db")
    people(site, FACTOR)
    with serving(site) as (daemon, reactor, _):

        def ask(code: str | None) -> Passed | None:
            found: list[Passed | None] = []
            daemon.parts.factors.decide(question(site, daemon, code)).addCallback(found.append)
            reactor.run_until(lambda: bool(found))
            return found[0]

        assert ask(code_of(SECRET, step_at(reactor.seconds()))) is Passed.TOTP
        daemon.serving.use(load(site.path))
        assert ask(None) is Passed.REMEMBERED
        people(site, FACTOR, "enabled: false")
        daemon.serving.use(load(site.path))
        people(site, FACTOR)
        daemon.serving.use(load(site.path))
        assert ask(None) is None


def test_the_status_and_the_doctor_doubt_the_machines_clock(site: Site) -> None:
    """When most devices are off in one direction; nothing is said where nobody has made a code."""
    people(site, FACTOR)
    config = load(site.path).config
    assert list(look_at_clocks(config)) == []
    assert not (site.folder / "state.db").exists()
    with state_opened(site.folder / "state.db") as connection:
        facts.put(connection, CLOCK, "a", "0", time.time() + 1000)
    assert [str(finding) for finding in look_at_clocks(config)] == [
        "ok: the clocks of 1 devices that make codes agree with this machine's"
    ]
    with state_opened(site.folder / "state.db") as connection:
        for name in "bcd":
            facts.put(connection, CLOCK, name, "-60", time.time() + 1000)
    (finding,) = look_at_clocks(config)
    assert "3 of 4 devices" in finding.text
    assert "clock of this machine is ahead" in finding.text
    with serving(site) as (daemon, reactor, _):
        reactor.run_until(lambda: daemon.upkeep.status()["second factor clocks"] != "fine")
        assert "3 of 4 devices" in str(daemon.upkeep.status()["second factor clocks"])


def test_users_of_a_source(site: Site) -> None:
    """Their second factors need the state file as all do; one that is not enrolled is told."""
    pam = f"accounts: [file, pam]\npam: {{homes: [{site.folder}], home: '{site.folder}/{{user}}', default_role: r}}\n"
    roles = "roles: {r: {rules: []}}\n"
    site.write(pam)
    site.write_users(
        f"{roles}users: {{alice: {{source: pam, {FACTOR}}}, bob: {{source: pam, second_factor: required}}}}\n"
    )
    begin_long_ago(site.folder / "state.db")
    code, said = check(site)
    assert code == 0
    assert "users.bob.second_factor: none is enrolled, so the user cannot log in; run: ftpsd user otp bob" in said
    assert "alice" not in said
    site.replace(f"state: {site.folder}/state.db", "state: null")
    code, said = check(site)
    assert code == 2
    assert "users.alice.second_factor: needs a state file" in said


def test_a_host_on_which_everybody_needs_one(site: Site) -> None:
    """The server, or one virtual host: who has none is told, and has one that is not enrolled behind the password."""
    people(site, f"password: '{cheap_hash('pw')}'")
    begin_long_ago(site.folder / "state.db")
    host = "a.example.com"
    hosts = f"virtual_hosts: [{{names: [{host}], users: users.yaml%s}}]"
    cases: tuple[tuple[str, set[str]], ...] = (
        (hosts % "", set()),
        ("second_factor: {required: true}\n" + hosts % "", {"", host}),
        (hosts % ", second_factor: required", {host}),
    )
    for more, needing in cases:
        site.write(more)
        code, said = check(site)
        assert code == 0
        assert ("none is enrolled, so the user cannot log in; run: ftpsd user otp alice" in said) == bool(needing), said
        rights = json.loads(CliRunner().invoke(main, ["access", "--config", str(site.path), "--json"]).stdout)
        assert {right["host"] for right in rights if right["status"] == "no second factor"} == needing
        with serving(site) as (daemon, reactor, _):
            for each in daemon.serving.runtime.hosts.all:
                found: list[Any] = []
                checker = each.portal.checkers[ILogin]
                checker.requestAvatarId(Login("alice", "pw", "192.0.2.7")).addBoth(found.append)
                reactor.run_until(lambda found=found: bool(found))
                assert found[0].second_factor == (SecondFactor() if each.name in needing else None), (more, each.name)
    site.replace(f"state: {site.folder}/state.db", "state: null")
    code, said = check(site)
    assert code == 2
    assert "virtual_hosts[0].second_factor: needs a state file" in said
