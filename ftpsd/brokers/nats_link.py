"""
NATS: a message is taken when a stream of JetStream has stored it; core NATS forgets what nobody listens to.

The id of the event is `Nats-Msg-Id`: within its window (two minutes, unless the stream says another) the server stores
an event once, however often it comes.
"""

from __future__ import annotations

from nats.aio.client import Client
from nats.js.errors import NoStreamResponseError

from ftpsd.brokers.envelopes import Account, Message
from ftpsd.brokers.linking import Refused, context_of

CLEAR = "it offers no TLS"


class NATSLink:
    """The link to the servers of *account*."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._client: Client | None = None

    async def publish(self, message: Message) -> None:
        """See `Link`."""
        client = await self._connected()
        try:
            await client.jetstream().publish(
                message.topic,
                message.body.encode("ascii"),
                timeout=self._account.timeout,
                headers={"Nats-Msg-Id": message.id, "Content-Type": "application/cloudevents+json"},
            )
        except NoStreamResponseError:
            raise Refused(f"no stream takes the subject {message.topic}") from None

    async def close(self) -> None:
        """End the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> Client:
        if self._client is not None and self._client.is_connected:
            return self._client
        await self.close()
        account = self._account
        client = Client()

        def password() -> str:
            # The server says first whether it speaks TLS, and the library goes on in clear when it does not.
            if account.tls and not _is_private(client):
                raise Refused(CLEAR)
            return account.password or ""

        scheme = "tls" if account.tls else "nats"
        await client.connect(
            servers=[f"{scheme}://{server}" for server in account.servers],
            tls=context_of(account),
            user=account.user,
            password=None if account.user is None else password,
            connect_timeout=max(1, int(account.timeout)),
            allow_reconnect=False,
            max_reconnect_attempts=1,
            error_cb=_nothing,
        )
        if account.tls and not _is_private(client):
            await client.close()
            raise Refused(CLEAR)
        self._client = client
        return client


def _is_private(client: Client) -> bool:
    transport = client._transport
    return transport is not None and transport._io_writer.get_extra_info("ssl_object") is not None  # type: ignore[attr-defined]


async def _nothing(_: Exception) -> None:
    """The one who publishes is told."""
