"""The address of 227: fixed, by DNS, by the client's network, or the one the client reached."""

from __future__ import annotations

import pytest
from twisted.logger import capturedLogs, formatEvent

from ftpsd.config.model import Passive
from ftpsd.service.changing.addresses import MOST_WARNINGS, PublicAddresses, is_out_of_reach
from tests.workers import InlineWorkers, QueueingWorkers

INTERNET = "8.8.8.8"
CLIENT, LOCAL = "198.51.100.7", "203.0.113.1"


def addresses(workers: object = None, **passive: object) -> PublicAddresses:
    """Return the addresses of a section `passive`."""
    return PublicAddresses(Passive.model_validate(passive), workers or InlineWorkers())  # type: ignore[arg-type]


def test_auto_is_the_address_the_client_reached() -> None:
    """A server without NAT needs no setting."""
    assert addresses()(CLIENT, LOCAL) == LOCAL


def test_a_fixed_address() -> None:
    """The address that is written is announced."""
    assert addresses(public_address="192.0.2.9")(CLIENT, LOCAL) == "192.0.2.9"


@pytest.mark.parametrize(
    ("client", "expected"),
    [("10.1.2.3", LOCAL), ("172.16.0.1", "192.0.2.1"), ("172.16.5.1", "192.0.2.2"), (CLIENT, "192.0.2.9")],
)
def test_the_network_of_the_client_decides(client: str, expected: str) -> None:
    """The first entry that holds the client's address; others get the general one."""
    announce = addresses(
        public_address="192.0.2.9",
        public_address_for=[
            {"networks": ["10.0.0.0/8"], "address": "auto"},
            {"networks": ["172.16.0.0/24", "fd00::/8"], "address": "192.0.2.1"},
            {"networks": ["172.16.0.0/12"], "address": "192.0.2.2"},
        ],
    )
    assert announce(client, LOCAL) == expected


def test_an_ipv6_client_is_in_no_ipv4_network() -> None:
    """And the comparison does not raise."""
    announce = addresses(public_address_for=[{"networks": ["0.0.0.0/0"], "address": "192.0.2.1"}])
    assert announce("2001:db8::7", "2001:db8::1") == "2001:db8::1"


def test_a_name_is_looked_up() -> None:
    """After refresh() its address is announced."""
    announce = addresses(public_address="localhost")
    announce.refresh()
    assert announce(CLIENT, LOCAL) == "127.0.0.1"


def test_a_reply_never_waits_for_dns() -> None:
    """Until the first answer the address the client reached serves."""
    workers = QueueingWorkers()
    announce = addresses(workers, public_address="localhost")
    announce.refresh()
    assert announce(CLIENT, LOCAL) == LOCAL
    workers.release()
    assert announce(CLIENT, LOCAL) == "127.0.0.1"


def test_names_are_looked_up_in_a_worker() -> None:
    """Every name once, literal addresses never."""
    workers = QueueingWorkers()
    announce = addresses(
        workers,
        public_address="localhost",
        public_address_for=[
            {"networks": ["10.0.0.0/8"], "address": "localhost"},
            {"networks": ["172.16.0.0/12"], "address": "192.0.2.1"},
            {"networks": ["192.168.0.0/16"], "address": "auto"},
        ],
    )
    announce.refresh()
    assert workers.waiting == 1


def test_a_name_that_cannot_be_resolved() -> None:
    """The address the client reached serves, and refresh() does not fail."""
    announce = addresses(public_address="no-such-name.invalid")
    results: list[object] = []
    announce.refresh().addCallback(results.append)
    assert len(results) == 1
    assert announce(CLIENT, LOCAL) == LOCAL


def test_a_failed_look_up_keeps_the_last_address() -> None:
    """DNS that is down for a while changes nothing."""
    workers = InlineWorkers()
    announce = addresses(workers, public_address="localhost")
    announce.refresh()
    workers.is_full = True
    announce.refresh()
    assert announce(CLIENT, LOCAL) == "127.0.0.1"


def test_a_look_up_that_hangs_is_not_repeated() -> None:
    """DNS that does not answer holds one worker for each name, however often it is asked."""
    workers = QueueingWorkers()
    announce = addresses(workers, public_address="localhost")
    for _ in range(5):
        announce.refresh()
    assert workers.waiting == 1
    workers.release()
    announce.refresh()
    assert workers.waiting == 1


def test_the_address_in_use_is_kept_while_dns_has_it() -> None:
    """A name with two addresses does not flip between them; one that moves is followed."""
    answers = [["192.0.2.1", "192.0.2.2"], ["192.0.2.2", "192.0.2.1"], ["192.0.2.2", "192.0.2.3"]]
    passive = Passive.model_validate({"public_address": "ftp.example.com"})
    announce = PublicAddresses(passive, InlineWorkers(), look_up=lambda name: answers.pop(0))
    announced = []
    while answers:
        announce.refresh()
        announced.append(announce(CLIENT, LOCAL))
    assert announced == ["192.0.2.1", "192.0.2.1", "192.0.2.2"]


@pytest.mark.parametrize(
    ("address", "client", "expected"),
    [
        ("10.0.0.5", INTERNET, True),
        ("100.64.0.1", INTERNET, True),
        ("127.0.0.1", INTERNET, True),
        ("169.254.1.1", INTERNET, True),
        ("1.1.1.1", INTERNET, False),
        ("10.0.0.5", "10.0.0.9", False),
        ("127.0.0.1", "127.0.0.1", False),
    ],
)
def test_what_is_out_of_reach(address: str, client: str, expected: bool) -> None:
    """Only for who comes from the Internet."""
    assert is_out_of_reach(address, client) is expected


def warnings_of(announce: PublicAddresses, *locals_: str) -> list[str]:
    """Return what is logged while clients reach the server at these addresses."""
    with capturedLogs() as events:
        for local in locals_:
            announce(INTERNET, local)
    return [formatEvent(event) for event in events]


def test_a_private_address_for_the_internet_is_warned_about_once() -> None:
    """With the address, the client and the key to set."""
    announce = addresses()
    (line,) = warnings_of(announce, "10.0.0.5", "10.0.0.5", "1.1.1.1")
    assert line.startswith("passive mode: 8.8.8.8 in the Internet was told to connect to 10.0.0.5")
    assert "set passive.public_address" in line
    assert len(warnings_of(announce, "10.0.0.6")) == 1


def test_warnings_are_bounded() -> None:
    """Nobody fills the log, nor the memory of what was said."""
    lines = warnings_of(addresses(), *(f"10.0.0.{number}" for number in range(100)))
    assert len(lines) == MOST_WARNINGS
