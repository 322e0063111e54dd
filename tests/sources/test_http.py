"""An HTTPS endpoint: a real one, also one that is slow, broken, or lies."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from twisted.web.server import Request

from ftpsd.auth.checker import UsersChecker
from ftpsd.auth.credentials import Login, LoginDenied, LoginUnavailable, Refusal, SourceUnavailable, WithCode
from ftpsd.config.reading import read_config
from ftpsd.outward.posting import may_reach
from tests.sources.authority import issue
from tests.sources.endpoint import USERS, Endpoint, hang
from tests.sources.making import Site, secret
from tests.sources.turning import failure_of, outcome, reactor, turn_until


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """An endpoint."""
    server = Endpoint(tmp_path / "endpoint")
    yield server
    server.stop()


def site(endpoint: Endpoint, **more: Any) -> Site:
    """Return a site that asks *endpoint* alone."""
    section = {
        "url": f"https://localhost:{endpoint.port}/users?key=hidden",
        "authority": str(endpoint.identity.authority),
        "allow_private": True,
        "homes": ["/srv/ftpsd"],
        "timeout": "2s",
        **more,
    }
    made = Site(["http"], {"http": section})
    assert made.complaints == []
    return made


def why(made: Site, name: str = "alice") -> str:
    """Return why the endpoint cannot be asked."""
    error = failure_of(made.accounts.find(name))
    assert isinstance(error, SourceUnavailable)
    assert "hidden" not in str(error)
    return str(error)


def refusal(made: Site, name: str, password: str) -> Refusal:
    """Return the reason of a refusal."""
    error = failure_of(made.log_in(name, password))
    assert isinstance(error, LoginDenied)
    return error.reason


def test_logins(endpoint: Endpoint) -> None:
    """Right, wrong, unknown, disabled; a hash of nobody's is the cost of those who are no users."""
    made = site(endpoint)
    user = outcome(made.log_in("alice", "alice's"))
    assert (user.name, str(user.home), user.role) == ("alice", "/srv/ftpsd/alice", "uploader")
    refused = [refusal(made, *said) for said in (("alice", "no"), ("alice", ""), ("eve", "x"), ("dora", "dora's"))]
    wrong, unknown, disabled = Refusal.WRONG_PASSWORD, Refusal.UNKNOWN_USER, Refusal.DISABLED
    assert (refused, made.hashes.of_nobody) == ([wrong, wrong, unknown, disabled], 3)


def test_what_is_asked(endpoint: Endpoint, tmp_path: Path) -> None:
    """Two questions, with the token; then nothing for a while, and a wrong password is asked about all the same."""
    made = site(endpoint, token_file=secret(tmp_path, "token", "tick"))
    outcome(made.log_in("alice", "alice's"))
    assert endpoint.asked == [
        {"question": "user", "user": "alice", "host": ""},
        {
            "question": "password",
            "user": "alice",
            "password": "alice's",
            "address": "192.0.2.7",
            "host": "",
            "protocol": "ftps",
        },
    ]
    assert endpoint.headers[b"Authorization"] == [b"Bearer tick"]
    outcome(made.log_in("alice", "alice's"))
    assert len(endpoint.asked) == 2
    assert refusal(made, "alice", "no") is Refusal.WRONG_PASSWORD
    assert len(endpoint.asked) == 3
    uncached = site(endpoint, cache=0)
    for _ in range(2):
        outcome(uncached.log_in("alice", "alice's"))
    assert len(endpoint.asked) == 7


def test_a_certificate_of_our_own(tmp_path: Path) -> None:
    """Shown to an endpoint that wants one."""
    clients = issue(tmp_path / "clients", "ftpsd")
    endpoint = Endpoint(tmp_path / "endpoint", clients)
    try:
        assert "TLS failed" in why(site(endpoint)) or "closed" in why(site(endpoint))
        own = {"certificate": str(clients.certificate), "private_key": str(clients.private_key)}
        assert outcome(site(endpoint, **own).log_in("alice", "alice's")).name == "alice"
    finally:
        endpoint.stop()


def test_another_endpoint(endpoint: Endpoint, tmp_path: Path) -> None:
    """One of another authority or name is told nothing."""
    other = issue(tmp_path / "other", "localhost")
    assert "its certificate is" in why(site(endpoint, authority=str(other.authority)))
    assert "its certificate is" in why(site(endpoint, url=f"https://127.0.0.1:{endpoint.port}/"))
    assert endpoint.asked == []


def _answer(code: int, body: bytes, **headers: str) -> Any:
    def answer(request: Request, _: dict[str, Any]) -> bytes:
        request.setResponseCode(code)
        for name, value in headers.items():
            request.setHeader(name.replace("_", "-"), value)
        return body

    return answer


def test_no_answers(endpoint: Endpoint) -> None:
    """Whatever else comes lets nobody in, and the log says what it was."""
    elsewhere = f"https://localhost:{endpoint.port}/elsewhere"
    packed = gzip.compress(json.dumps(USERS["alice"]).encode())
    cases = {
        "it answered 500": _answer(500, b"oops"),
        "it answered 204": _answer(204, b""),
        "it redirects (307)": _answer(307, b"", location=elsewhere),
        "it redirects (302)": _answer(302, b"", location=elsewhere),
        "not JSON": _answer(200, b"\xff{"),
        "not a JSON object": _answer(200, b"[1]"),
        "its answer is not JSON": _answer(200, b"[" * 60_000),
        "longer than": _answer(200, b'{"home": "' + b"x" * 100_000),
        "is not JSON": _answer(200, packed, content_encoding="gzip"),
    }
    for number, (reason, answer) in enumerate(cases.items()):
        endpoint.answer = answer
        made = site(endpoint)
        assert reason in why(made, f"user-{number}"), reason
        assert isinstance(failure_of(made.log_in("alice", "alice's")), LoginUnavailable)
    assert len(endpoint.asked) == 2 * len(cases)
    # A broken answer is no silence: the next one is asked for.
    for _ in range(5):
        why(made)
    endpoint.answer = None
    assert outcome(made.log_in("alice", "alice's")).name == "alice"


def test_an_answer_that_does_not_come(endpoint: Endpoint) -> None:
    """Refused in time, and the connection is not kept; after three of them nothing is asked for a while."""
    endpoint.answer = hang
    made = site(endpoint, timeout="0.2s")
    for _ in range(3):
        assert "no answer within 0.2 s" in why(made)
    assert "does not answer" in why(made)
    assert len(endpoint.asked) == 3


def test_records_that_lie(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    """A user is kept out whose record is not what users.yaml could hold, or leads out of the homes."""
    good = USERS["alice"]
    cases: list[dict[str, Any]] = [
        {**good, "home": "/etc"},
        {**good, "home": "/srv/ftpsd"},
        {**good, "home": "/srv/ftpsd/../../etc"},
        {**good, "home": "/srv/ftpsd2/alice"},
        {**good, "home": "srv/ftpsd/alice"},
        {**good, "home": None},
        {**good, "home": 4},
        {"role": "uploader"},
        {**good, "role": "administrator"},
        {**good, "rules": []},
        {**good, "unknown": 1},
        {**good, "enabled": "yes"},
        {**good, "password": "$6$salt$hash"},
        {**good, "mounts": [{"path": "/m", "directory": "/etc"}]},
        {**good, "mounts": [{"path": "/m", "directory": "/srv/ftpsd/m", "role": "administrator"}]},
        {**good, "expires": "soon"},
        {**good, "source": "http"},
        {},
    ]
    made = site(endpoint, cache=0)
    for record in cases:
        endpoint.answer = _answer(200, json.dumps(record).encode())
        assert refusal(made, "alice", "alice's") is Refusal.INVALID_RECORD, record
    assert {question["question"] for question in endpoint.asked} == {"user"}


def test_a_second_factor_of_the_record(endpoint: Endpoint) -> None:
    """The endpoint is asked about the password without the code, which is checked here."""
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    made = site(endpoint)
    user = {**USERS["alice"], "second_factor": {"totp": secret}}

    def answer(request: Request, question: dict[str, Any]) -> bytes:
        if question["question"] == "password" and question["password"] != "alice's":
            request.setResponseCode(403)
        return json.dumps(user).encode()

    endpoint.answer = answer
    checker = UsersChecker(made.accounts, reactor, splits=True)
    proved = outcome(checker.requestAvatarId(Login("alice", "alice's123456", "192.0.2.7")))
    assert isinstance(proved, WithCode)
    assert proved.user.second_factor is not None
    assert (proved.code, secret in repr(proved)) == ("123456", False)
    assert endpoint.asked[-1]["password"] == "alice's"


def test_addresses() -> None:
    """Public ones always, private ones where that is said, those of the link only by name."""

    def reaches(address: str, **keys: Any) -> bool:
        section = {"url": "https://example.com", "homes": ["/srv"], **keys}
        config = read_config(yaml.safe_dump({"http": section}), "ftpsd.yaml", Path("/"))
        assert config.http is not None
        return may_reach(config.http.networks, allow_private=config.http.allow_private)(ip_address(address))

    private = ("127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "::ffff:10.1.2.3", "fd00::1", "100.64.0.1")
    of_the_link = ("169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1")
    assert [reaches(address) for address in ("9.9.9.9", "2620:fe::fe")] == [True, True]
    assert not any(reaches(address) for address in (*private, *of_the_link))
    assert all(reaches(address, allow_private=True) for address in private)
    assert not any(reaches(address, allow_private=True) for address in of_the_link)
    assert reaches("10.1.2.3", networks=["10.0.0.0/8"])
    assert not reaches("192.168.0.1", networks=["10.0.0.0/8"])


def test_a_name_that_leads_inside(endpoint: Endpoint) -> None:
    """The address that DNS gave is what counts, when the connection is made."""
    made = site(endpoint, allow_private=False)
    assert "is private; see allow_private" in why(made)
    assert endpoint.asked == []
    named = site(endpoint, allow_private=False, networks=["127.0.0.0/8", "::1"])
    assert outcome(named.log_in("alice", "alice's")).name == "alice"


def test_a_client_that_goes(endpoint: Endpoint) -> None:
    """Nothing is left of a question that nobody waits for."""
    endpoint.answer = hang
    made = site(endpoint, timeout="0.3s")
    login = made.log_in("alice", "alice's")
    login.addErrback(lambda _: None)
    turn_until(lambda: endpoint.asked)
    login.cancel()
    endpoint.answer = None
    assert outcome(made.log_in("bob", "bob's")).name == "bob"
