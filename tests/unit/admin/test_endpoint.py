"""The admin endpoint: what each path answers, to whom, and within what bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry, Counter
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ftpsd.admin.endpoint import CONNECTIONS_LIMIT, REQUEST_SECONDS, Exposition, addresses_of, admin_site, host_name
from ftpsd.admin.live_feed import LiveFeed, Sources

HERE = IPv4Address("TCP", "192.0.2.5", 9121)
THERE = IPv4Address("TCP", "192.0.2.99", 40000)
GET_METRICS = b"GET /metrics HTTP/1.1\r\nHost: localhost:9121\r\n\r\n"


@dataclass
class Answer:
    """One HTTP response, taken apart."""

    code: int
    headers: dict[str, str]
    body: bytes


def sent(transport: StringTransport) -> bytes:
    """Return all that was written to *transport*."""
    written: bytes = transport.value()
    return written


@dataclass
class Daemon:
    """An admin site over in-memory transports, and what the daemon behind it says."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    clock: Clock = field(default_factory=Clock)
    ready: bool = True
    status: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.site = admin_site(
            self.registry, lambda: self.ready, lambda: self.status, names=["ftps.example"], reactor=self.clock
        )
        self.site.startFactory()

    def connect(self) -> tuple[IProtocol | None, StringTransport]:
        """Return a new connection's channel and transport."""
        transport = StringTransport(HERE, THERE)
        channel: IProtocol | None = self.site.buildProtocol(THERE)
        if channel is not None:
            channel.makeConnection(transport)
        return channel, transport

    def send(self, data: bytes) -> Answer:
        """Return the answer to *data*, sent on a new connection."""
        channel, transport = self.connect()
        assert channel is not None
        channel.dataReceived(data)
        head, _, body = sent(transport).partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        return Answer(int(first.split(" ")[1]), headers, body)

    def ask(self, path: str, method: str = "GET", host: str = "localhost:9121", accept: str = "*/*") -> Answer:
        """Return the answer to a request."""
        return self.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n".encode())


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """Return a ready daemon's admin site."""
    daemon = Daemon()
    yield daemon
    daemon.site.stopFactory()


def test_metrics_are_text(daemon: Daemon) -> None:
    """/metrics answers in Prometheus's text format when nothing else is asked for."""
    Counter("ftpsd_things", "Things.", registry=daemon.registry).inc(3)
    answer = daemon.ask("/metrics")
    assert (answer.code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"ftpsd_things_total 3.0\n" in answer.body


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=1.0.0",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
    ],
)
def test_metrics_are_open_metrics_when_asked(daemon: Daemon, accept: str) -> None:
    """A scraper that asks for OpenMetrics, as Prometheus does, gets it, with its end mark."""
    answer = daemon.ask("/metrics", accept=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.body.endswith(b"# EOF\n")


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=x.y", "text/plain; version=1.x.0", ";;,,=;"])
def test_nonsense_in_accept_is_answered_in_text(daemon: Daemon, accept: str) -> None:
    """An Accept header that no scraper sends is neither an error nor repeated."""
    answer = daemon.ask("/metrics", accept=accept)
    assert (answer.code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")


def test_health_is_ok(daemon: Daemon) -> None:
    """/healthz says that the reactor runs, ready or not."""
    daemon.ready = False
    answer = daemon.ask("/healthz")
    assert (answer.code, answer.body) == (200, b"ok")


def test_readiness_follows_the_daemon(daemon: Daemon) -> None:
    """/readyz is 200 while sessions are welcome and 503 otherwise."""
    assert daemon.ask("/readyz").code == 200
    daemon.ready = False
    assert daemon.ask("/readyz").code == 503


@pytest.mark.parametrize(
    "path", ["/x", "/metrics/", "//metrics", "/metrics/../healthz", "/%6detrics", "*", "http://evil/"]
)
def test_other_paths_are_not_found(daemon: Daemon, path: str) -> None:
    """Only the paths themselves are answered."""
    assert daemon.ask(path).code in (400, 404, 405)


def test_query_is_ignored(daemon: Daemon) -> None:
    """A probe may add a query."""
    assert daemon.ask("/healthz?verbose=1").code == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz"])
def test_head_is_get_without_the_body(daemon: Daemon, path: str) -> None:
    """HEAD answers with the headers of GET, its length included, and no body."""
    head, get = daemon.ask(path, "HEAD"), daemon.ask(path)
    assert (head.code, head.body) == (get.code, b"")
    assert head.headers["content-length"] == str(len(get.body))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "get", "BREW"])
def test_other_methods_are_refused(daemon: Daemon, method: str) -> None:
    """Nothing can be changed: 405, and which methods there are."""
    answer = daemon.ask("/metrics", method)
    assert (answer.code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:9121",
        "localhost.",
        "127.0.0.1:9999",
        "[::1]",
        "[::1]:9121",
        "192.0.2.5:9121",
        "ftps.example",
    ],
)
def test_host_of_this_machine_is_answered(daemon: Daemon, host: str) -> None:
    """Local names, the address the request came to, through any port forward, and configured names are answered."""
    assert daemon.ask("/metrics", host=host).code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9121",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "192.0.2.6",
        "[::2]",
        "[::1]evil",
        "localhost:9121:evil",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz", "/nothing"])
def test_host_of_a_stranger_is_refused(daemon: Daemon, host: str, path: str) -> None:
    """A page that rebinds its own name to this address reads nothing (DNS rebinding)."""
    assert daemon.ask(path, host=host).code == 421


def test_a_stranger_is_told_what_to_do(daemon: Daemon) -> None:
    """The answer names the key where the name belongs, and repeats nothing that was sent."""
    answer = daemon.ask("/metrics", host="prometheus-calls-it-so.example")
    assert b"metrics.names" in answer.body
    assert b"calls-it-so" not in answer.body


def test_missing_host_is_a_bad_request(daemon: Daemon) -> None:
    """HTTP/1.1 without Host is refused; a probe that still speaks HTTP/1.0 has none to send."""
    assert daemon.send(b"GET /healthz HTTP/1.1\r\n\r\n").code == 400
    assert daemon.send(b"GET /healthz HTTP/1.0\r\n\r\n").code == 200


def test_two_hosts_are_a_bad_request(daemon: Daemon) -> None:
    """A request cannot choose which of two Host headers is checked."""
    assert daemon.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n").code == 400


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz", "/nothing"])
def test_answers_are_not_stored_and_name_no_software(daemon: Daemon, path: str) -> None:
    """Every answer forbids caching and sniffing, and no header tells what program answers."""
    headers = daemon.ask(path).headers
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert "server" not in headers
    assert not [value for value in headers.values() if "wisted" in value]


def test_status_that_fails_tells_no_details(daemon: Daemon) -> None:
    """An error of ours is a 500 without its text."""

    class Broken(Mapping[str, object]):
        def __getitem__(self, key: str) -> object:
            raise RuntimeError("/srv/secret")

        def __iter__(self) -> Iterator[str]:
            raise RuntimeError("/srv/secret")

        def __len__(self) -> int:
            return 1

    daemon.status = Broken()
    answer = daemon.ask("/")
    assert answer.code == 500
    assert b"secret" not in answer.body
    assert "server" not in answer.headers


def test_keep_alive_serves_the_next_scrape(daemon: Daemon) -> None:
    """A connection serves one scrape after the other."""
    channel, transport = daemon.connect()
    assert channel is not None
    for _ in range(3):
        channel.dataReceived(GET_METRICS)
        daemon.clock.advance(60)
    assert sent(transport).count(b"HTTP/1.1 200 OK") == 3
    assert not transport.disconnecting


def test_trickled_request_is_cut_off(daemon: Daemon) -> None:
    """A request that arrives byte by byte must still be complete in time (Slowloris)."""
    channel, transport = daemon.connect()
    assert channel is not None
    for byte in b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: "[:REQUEST_SECONDS]:
        channel.dataReceived(bytes([byte]))
        daemon.clock.advance(3)
    assert transport.disconnecting


def test_body_is_not_kept(daemon: Daemon) -> None:
    """A large body fills neither memory nor the temporary folder; it is dropped as it comes."""
    channel, transport = daemon.connect()
    assert channel is not None
    channel.dataReceived(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n")
    for _ in range(100):
        channel.dataReceived(b"x" * 100_000)
    assert sent(transport).startswith(b"HTTP/1.1 405 ")


def test_connections_are_few(daemon: Daemon) -> None:
    """One beyond the limit ends the oldest that asks for nothing, and a closed one makes room."""
    nothing: Deferred[dict[str, object]] = Deferred()
    sources = Sources(daemon.registry, lambda: succeed(None), dict, lambda: nothing, lambda: True)
    feed = LiveFeed(sources, daemon.clock)
    daemon.site = admin_site(daemon.registry, bool, dict, reactor=daemon.clock, feed=feed)
    connected = [daemon.connect() for _ in range(CONNECTIONS_LIMIT)]
    watching, *channels = (channel for channel, _ in connected)
    assert watching is not None
    watching.dataReceived(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    daemon.connect()
    daemon.connect()
    assert [transport.disconnected for _, transport in connected[:4]] == [False, True, True, False]
    for channel in channels[:3]:
        assert channel is not None
        channel.connectionLost(Failure(ConnectionDone()))
    daemon.connect()
    assert not any(transport.disconnected for _, transport in connected[3:])
    feed.stop()


def steps(*seconds: float) -> Callable[[], float]:
    """Return a clock that shows these times one after the other."""
    times = iter(seconds)
    return lambda: next(times)


def test_scrapes_cannot_take_the_reactor() -> None:
    """When encoding took 1 s, it happens again only 9 s later: a tenth of the time, however often somebody asks."""
    registry = CollectorRegistry()
    counter = Counter("asked", "Asked.", registry=registry)
    exposition = Exposition(registry, steps(0.0, 1.0, 9.9, 10.0, 10.0))
    first = exposition.encode("")
    counter.inc()
    assert exposition.encode("") == first
    assert exposition.encode("") != first


@pytest.mark.parametrize(
    ("header", "name"),
    [("a:1", "a"), ("[::1]:1", "::1"), ("[::1", ""), ("::1", ""), ("A.", "a"), (" a ", "a"), ("a b", "a b")],
)
def test_host_header_is_taken_apart(header: str, name: str) -> None:
    """Brackets, port, case and closing dot do not matter; what is malformed names nobody."""
    assert host_name(header) == name


def test_mapped_address_is_its_ipv4_address() -> None:
    """A client of a dual-stack listener says the IPv4 address it knows."""
    assert "192.0.2.5" in addresses_of(IPv6Address("TCP", "::ffff:192.0.2.5", 9121))
