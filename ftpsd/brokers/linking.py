"""The interface that the child needs of each kind of broker, and the one for an account."""

from __future__ import annotations

import ssl
from typing import Protocol

from ftpsd.brokers.envelopes import Account, Message


class Refused(Exception):
    """A message that the broker has not taken for good; the text says why, in one line without secrets."""


class Link(Protocol):
    """A connection to a broker, which is made when it is needed, and anew when it was lost."""

    async def publish(self, message: Message) -> None:
        """Return when the broker has taken *message* for good. Raises: Refused, and what the client library raises."""

    async def close(self) -> None:
        """End the connection."""


def link_of(account: Account) -> Link:
    """Return the link to the broker of *account*. Its package is an extra, so it is imported here alone."""
    if account.kind == "nats":
        from ftpsd.brokers.nats_link import NATSLink

        return NATSLink(account)
    if account.kind == "amqp":
        from ftpsd.brokers.amqp_link import AMQPLink

        return AMQPLink(account)
    from ftpsd.brokers.kafka_link import KafkaLink

    return KafkaLink(account)


def context_of(account: Account) -> ssl.SSLContext | None:
    """Return the TLS of *account*, which verifies certificate and name; None without."""
    return ssl.create_default_context(cadata=account.authority) if account.tls else None


def host_and_port(server: str) -> tuple[str, int]:
    """Return the parts of HOST:PORT."""
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)
