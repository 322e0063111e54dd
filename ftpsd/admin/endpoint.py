"""
The admin endpoint: /metrics, /healthz, /readyz and the status page with its files and events (live_feed.py), over
plain HTTP, for the loopback interface.

It only reads (GET and HEAD) and sends no secret. A web page in an operator's browser must not read it through a name
that it makes resolve to 127.0.0.1 (DNS rebinding), so the Host header has to name this machine. Everything is answered
on the reactor thread; the constants below bound the time of scrapes, the duration of a request and the number of
connections, and http_channel.py bounds the requests of one connection.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from ftpsd.admin.http_channel import AdminChannel, AdminRequest
from ftpsd.admin.live_feed import LiveFeed
from ftpsd.admin.page import CONTENT_SECURITY_POLICY, render_page

# From the connection, or the last answer, to the end of the next request. Prometheus's usual minute fits.
REQUEST_SECONDS = 90
# A few scrapers and a few people. More is a mistake or an attack, and must not use up file descriptors: one more takes
# the place of another.
CONNECTIONS_LIMIT = 64
# Encoding the metrics takes milliseconds in which no client is served. An exposition is answered again until encoding
# would take no more than this share of the reactor's time, however many requests come.
SCRAPE_SHARE = 0.1

MISDIRECTED_REQUEST = 421
MISDIRECTED = (
    b"The name in this request is not one of this server's. It answers to its addresses, to localhost, and to the "
    b"names in metrics.names of ftpsd.yaml, which are the machine's own unless others are written there. Add the name "
    b"you use to that list, or ask by address.\n"
)
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

# The formats scrapers take. The client's own Accept header goes no further: the library would repeat its version in the
# Content-Type and fail on one that is no number.
PLAIN = "text/plain; version=0.0.4"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
_ASKS_FOR_OPEN_METRICS = re.compile(r"application/openmetrics-text\s*;\s*version=1\.0\.0", re.IGNORECASE)

_TEXT = "text/plain; charset=utf-8"
_STREAM = "text/event-stream; charset=utf-8"
# The files of the page, with their types.
STATIC = {
    "live.js": "text/javascript; charset=utf-8",
    "live.css": "text/css; charset=utf-8",
    "uplot.js": "text/javascript; charset=utf-8",
    "uplot.css": "text/css; charset=utf-8",
    "uplot.LICENSE": _TEXT,
}
# The answer of one path: code, content type, body.
_Answer = tuple[int, str, bytes]


def admin_site(
    metrics_registry: CollectorRegistry,
    ready: Callable[[], bool],
    status: Callable[[], Mapping[str, object]],
    *,
    names: Container[str] = (),
    reactor: IReactorTime | None = None,
    feed: LiveFeed | None = None,
) -> Site:
    """
    Return the site that answers for the daemon.

    *ready* returns whether new sessions are welcome, *status* the contents of the page. *names* are further host names,
    in lower case, that requests may be addressed to, besides localhost and the address they arrived at. *feed* is the
    live part of the page.
    """
    exposition = Exposition(metrics_registry)
    return AdminSite(AdminResource(exposition, ready, status, names, feed), reactor)


class Exposition:
    """The metrics as text, encoded no more often than `SCRAPE_SHARE` allows."""

    def __init__(self, registry: CollectorRegistry, seconds: Callable[[], float] = time.perf_counter) -> None:
        self._registry = registry
        self._seconds = seconds
        # By format: the body, and until when it is good.
        self._encoded: dict[str, tuple[bytes, float]] = {}

    def encode(self, accept: str) -> tuple[str, bytes]:
        """Return content type and body in the format that the header *accept* asks for."""
        form = OPEN_METRICS if _ASKS_FOR_OPEN_METRICS.search(accept) else PLAIN
        encoder, content_type = choose_encoder(form)
        began = self._seconds()
        body, good_until = self._encoded.get(form, (b"", began))
        if began >= good_until:
            body = encoder(self._registry)
            ended = self._seconds()
            self._encoded[form] = (body, ended + (ended - began) * (1 / SCRAPE_SHARE - 1))
        return content_type, body


class AdminResource(Resource):
    """All paths of the endpoint."""

    isLeaf = True

    def __init__(
        self,
        exposition: Exposition,
        ready: Callable[[], bool],
        status: Callable[[], Mapping[str, object]],
        names: Container[str] = (),
        feed: LiveFeed | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._feed = feed
        self._exposition = exposition
        self._ready = ready
        self._status = status
        self._names = names
        self._paths: dict[bytes, Callable[[Request], _Answer]] = {
            b"/": self._page,
            b"/metrics": self._metrics,
            b"/healthz": self._healthz,
            b"/readyz": self._readyz,
        }

    def render(self, request: Request) -> Any:
        """Answer *request*, whatever its path."""
        code, content_type, body = self._answer(request)
        is_stream = content_type == _STREAM
        request.setResponseCode(code, b"Misdirected Request" if code == MISDIRECTED_REQUEST else None)
        for name, value in (
            ("Content-Type", content_type),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
        ):
            request.responseHeaders.setRawHeaders(name, [value])
        if is_stream:
            assert self._feed is not None
            return self._feed.render(request)
        request.responseHeaders.setRawHeaders("Content-Length", [str(len(body))])
        return b"" if request.method == b"HEAD" else body

    def _answer(self, request: Request) -> _Answer:
        hosts = request.requestHeaders.getRawHeaders("host", [])
        if len(hosts) > 1 or (not hosts and request.clientproto != b"HTTP/1.0"):
            return http.BAD_REQUEST, _TEXT, b"one Host header, please\n"
        if hosts and not self._is_ours(host_name(hosts[0]), request.getHost()):
            return MISDIRECTED_REQUEST, _TEXT, MISDIRECTED
        answer = self._paths.get(request.path) or self._of_feed(request.path)
        if answer is None:
            return http.NOT_FOUND, _TEXT, b"not found\n"
        if request.method not in (b"GET", b"HEAD"):
            request.responseHeaders.setRawHeaders("Allow", ["GET, HEAD"])
            return http.NOT_ALLOWED, _TEXT, b"only GET and HEAD\n"
        return answer(request)

    def _is_ours(self, name: str, here: IAddress) -> bool:
        return name in LOCAL_NAMES or name in self._names or name in addresses_of(here)

    def _metrics(self, request: Request) -> _Answer:
        accept = ",".join(request.requestHeaders.getRawHeaders("accept", []))
        return http.OK, *self._exposition.encode(accept)

    def _healthz(self, _request: Request) -> _Answer:
        return http.OK, _TEXT, b"ok"

    def _readyz(self, _request: Request) -> _Answer:
        return (http.OK, _TEXT, b"ready") if self._ready() else (http.SERVICE_UNAVAILABLE, _TEXT, b"not ready")

    def _page(self, _request: Request) -> _Answer:
        page = render_page(self._ready(), self._status(), is_live=self._feed is not None)
        return http.OK, "text/html; charset=utf-8", page

    def _of_feed(self, path: bytes) -> Callable[[Request], _Answer] | None:
        """Return what answers the paths of the live part; None for another path, or without that part."""
        if self._feed is None:
            return None
        if path == b"/live":
            return lambda _: (http.OK, _STREAM, b"")
        name = path.decode("ascii", "replace").removeprefix("/")
        kind = STATIC.get(name)
        return None if kind is None else lambda _: (http.OK, kind, _static(name))


@cache
def _static(name: str) -> bytes:
    return files(__package__).joinpath("static", name).read_bytes()


def host_name(header: str) -> str:
    """Return the name or address in a Host *header*, lower-case, without brackets, port and closing dot."""
    match = re.fullmatch(r"\[(?P<six>[0-9a-f:.]+)\](:[0-9]*)?|(?P<name>[^:\[\]]*)(:[0-9]*)?", header.strip().lower())
    return "" if match is None else (match["six"] or match["name"] or "").removesuffix(".")


def addresses_of(here: IAddress) -> frozenset[str]:
    """Return how a client may spell *here*, the address its request arrived at."""
    host = getattr(here, "host", None)
    if not isinstance(host, str):
        return frozenset()
    # An IPv4 client of a listener on "::".
    return frozenset({host.lower(), host.lower().removeprefix("::ffff:")})


class AdminSite(Site):
    """A site of few connections that writes no access log: a scrape every few seconds is no news."""

    noisy = False
    # Without the wrapper that could switch to HTTP/2, which no client speaks in clear.
    protocol = AdminChannel  # type: ignore[assignment]

    def __init__(self, resource: Resource, reactor: IReactorTime | None) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            resource,
            AdminRequest,
            timeout=REQUEST_SECONDS,
            reactor=reactor,
            parsePOSTFormSubmission=False,
        )
        # The oldest first.
        self.connections: dict[AdminChannel, None] = {}

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return a channel for *addr*; where there are enough another one is ended, so that nobody is shut out."""
        if len(self.connections) >= CONNECTIONS_LIMIT:
            self._one_to_end().end()
        return super().buildProtocol(addr)  # type: ignore[no-untyped-call]

    def _one_to_end(self) -> AdminChannel:
        """Return the oldest connection of the client that has the most, if possible one that asks for nothing now."""
        held = Counter(channel.client for channel in self.connections)
        most = max(held.values())
        theirs = [channel for channel in self.connections if held[channel.client] == most]
        return next((channel for channel in theirs if not channel.is_at_work), theirs[0])

    def log(self, request: http.Request) -> None:
        """Log nothing."""
