"""
Kafka: a message is taken when all replicas in sync have it (acks=all), by an idempotent producer.

The key of a message is the path, so one partition has all events of a file, in order. The id of the event is the header
`id`; what is sent again by another process is there twice, and consumers sort it out by that.
"""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaProducer

from ftpsd.brokers.envelopes import Account, Message
from ftpsd.brokers.linking import context_of


class KafkaLink:
    """The link to the cluster of *account*."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._producer: Any = None

    async def publish(self, message: Message) -> None:
        """See `Link`."""
        producer = await self._connected()
        headers = [("id", message.id.encode()), ("content-type", b"application/cloudevents+json")]
        key = message.key.encode("utf-8", "surrogateescape")
        await producer.send_and_wait(message.topic, message.body.encode("ascii"), key=key, headers=headers)

    async def close(self) -> None:
        """End the connection."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _connected(self) -> Any:
        if self._producer is not None:
            return self._producer
        account = self._account
        security = f"SASL_{'SSL' if account.tls else 'PLAINTEXT'}"
        if account.user is None:
            security = security.removeprefix("SASL_")
        producer = AIOKafkaProducer(
            bootstrap_servers=list(account.servers),
            client_id="ftpsd",
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=int(account.timeout * 1000),
            security_protocol=security,
            ssl_context=context_of(account),
            sasl_mechanism=account.mechanism,
            sasl_plain_username=account.user,
            sasl_plain_password=account.password,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer
        return producer
