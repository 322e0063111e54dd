"""
A webhook: a POST of one CloudEvent over HTTPS, signed as Standard Webhooks have it (standardwebhooks.com, 1.0.0).

The signature is HMAC-SHA256 over `id.timestamp.body`, so that a receiver knows the sender, and refuses what is old or
comes again. With several secrets in the file there are several signatures: the receiver changes its secret when it
likes. 2xx is taken, everything else is not. Where the connection may lead: outward/posting.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from standardwebhooks import Webhook as Signer
from twisted.internet.defer import CancelledError, Deferred

from ftpsd import __version__
from ftpsd.config.automation.event_sinks import EventSink
from ftpsd.config.automation.sink_files import SinkFiles
from ftpsd.events.record_tables import Record
from ftpsd.events.sinks.cloud_event import CONTENT_TYPE, cloud_event
from ftpsd.events.sinks.receiver import NotTaken
from ftpsd.outward.connecting import Connector, verifying
from ftpsd.outward.posting import BadAnswer, NoAnswer, Poster, may_reach
from ftpsd.workers import Workers

TIMEOUT: Final = 15.0


class Webhook:
    """The webhook of *settings*; *files* are those it names, *names* looks names up."""

    most = 1

    def __init__(self, settings: EventSink, files: SinkFiles, reactor: Any, names: Workers) -> None:
        assert settings.webhook is not None
        url = settings.webhook
        self._timeout = settings.timeout or TIMEOUT
        self._reactor = reactor
        self._secrets = files.secrets
        may = may_reach(settings.networks, allow_private=settings.allow_private)
        connector = Connector(reactor, names, self._timeout, may)
        self._poster = Poster(connector, verifying(url.host, files.authority), url.url, url.host, url.port)
        self._sending: set[Deferred[None]] = set()

    def send(self, records: Sequence[Record]) -> Deferred[None]:
        """Send the one of *records*."""
        (record,) = records
        body = cloud_event(record, with_file=False)
        now = int(self._reactor.seconds())
        headers = {
            "Content-Type": CONTENT_TYPE,
            "User-Agent": f"ftpsd/{__version__}",
            "webhook-id": record.id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(self._secrets, record.id, now, body),
        }
        sent = Deferred.fromCoroutine(self._post(body, headers))
        self._sending.add(sent)
        sent.addTimeout(self._timeout, self._reactor, _too_late)

        def over(result: object) -> object:
            self._sending.discard(sent)
            return result

        return sent.addBoth(over)

    async def _post(self, body: bytes, headers: dict[str, str]) -> None:
        try:
            status, _ = await self._poster.post(body, headers)
        except (NoAnswer, BadAnswer) as error:
            raise NotTaken(str(error)) from None
        except CancelledError:
            raise NotTaken("it was broken off") from None
        if not 200 <= status < 300:
            raise NotTaken(f"it answered {status}")

    def stop(self) -> None:
        """Break off what is under way."""
        for sent in list(self._sending):
            sent.cancel()


def signature(secrets: Sequence[bytes], id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header `webhook-signature`."""
    moment = datetime.fromtimestamp(timestamp, UTC)
    return " ".join(Signer(secret).sign(id, moment, body.decode("ascii")) for secret in secrets)


def _too_late(_: object, timeout: float) -> object:
    raise NotTaken(f"it has not answered within {timeout:g} s")
