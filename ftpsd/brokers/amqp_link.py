"""
AMQP 0-9-1 (RabbitMQ): a message is taken when the broker has confirmed it, and a queue has it.

Messages are persistent and mandatory: one that no queue takes comes back, and is not taken. The id of the event is
`message_id`. AMQP brokers do not sort out what comes twice; consumers do, by that.
"""

from __future__ import annotations

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import DeliveryError

from ftpsd.brokers.envelopes import Account, Message
from ftpsd.brokers.linking import Refused, context_of, host_and_port


class AMQPLink:
    """The link to the first server of *account* that can be reached."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None

    async def publish(self, message: Message) -> None:
        """See `Link`."""
        exchange = await self._connected()
        letter = aio_pika.Message(
            message.body.encode("ascii"),
            content_type="application/cloudevents+json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message.id,
            type=f"ftpsd.{message.event}",
            app_id="ftpsd",
        )
        try:
            await exchange.publish(letter, message.topic, mandatory=True, timeout=self._account.timeout)
        except DeliveryError:
            raise Refused(f"no queue takes the routing key {message.topic}") from None

    async def close(self) -> None:
        """End the connection."""
        connection, self._connection, self._exchange = self._connection, None, None
        if connection is not None:
            await connection.close()

    async def _connected(self) -> AbstractExchange:
        connection, channel = self._connection, self._channel
        is_open = connection is not None and not connection.is_closed and channel is not None and not channel.is_closed
        if is_open and self._exchange is not None:
            return self._exchange
        await self.close()
        self._connection = connection = await self._connect()
        self._channel = channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        name = self._account.exchange
        self._exchange = await channel.get_exchange(name, ensure=True) if name else channel.default_exchange
        return self._exchange

    async def _connect(self) -> AbstractConnection:
        account = self._account
        for number, server in enumerate(account.servers):
            host, port = host_and_port(server)
            try:
                return await aio_pika.connect(
                    host=host,
                    port=port,
                    login=account.user or "guest",
                    password=account.password or "guest",
                    virtualhost=account.virtual_host,
                    ssl=account.tls,
                    ssl_context=context_of(account),
                    timeout=account.timeout,
                )
            except (OSError, TimeoutError):
                if number == len(account.servers) - 1:
                    raise
        raise Refused("no server is named")
