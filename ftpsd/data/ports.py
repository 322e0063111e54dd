"""
Passive ports: which port the next PASV or EPSV answers, and whose connection arrives there.

One listener per port lives as long as the server; nothing is bound or closed for a transfer. A connection is matched
to its reservation by port and client address, so one port serves many clients at once, and a range of 51 ports bounds
only how many transfers one address can prepare at the same moment.

* A session holds at most one pending reservation; the port is free for the same address again as soon as its
  connection arrived or, where connections must prove whose they are, as soon as one has (`wants_more`).
* A connection from an address without a reservation on that port is closed, and the reservation stays for the right
  client. The first such address is noted in it: a client whose connections come from another one gets the reason of its
  wait.
* A reservation that was not used for `patience` seconds may be taken by another client that needs its port.
* A range that is full for one address makes that address wait, in order, up to `wait` seconds. Never a port outside
  the range.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

# Seconds a PASV waits for a port before its 425. lftp and curl wait far longer for the reply.
WAIT_FOR_PORT = 3.0
# Seconds until a port that could not be opened is tried again while a command waits: the process before an upgrade, or
# another program, may leave it.
NEXT_TRY = 0.5
# Waiting PASV commands per client address; more are refused at once.
MAX_WAITING = 64

# Client addresses whose reservations are added up over several processes.
MOST_TOLD = 256


class PortsExhausted(Exception):
    """Every port of the range is reserved for this client address, or one of the *unopened*, which others may hold."""

    def __init__(self, unopened: int = 0) -> None:
        super().__init__(unopened)
        self.unopened = unopened


class DataListener(Protocol):
    """The opener of the listener of one port: on every address the control listeners use."""

    def __call__(self, port: int) -> None: ...


@dataclass(eq=False, slots=True)
class Reservation:
    """
    One port, lent to one client address until its connection arrives, it is released, or it grows old.

    While *wants_more* returns True, it stays when a connection arrives. *stranger* is the first other address that
    connected to the port meanwhile.
    """

    ports: PassivePorts
    port: int
    address: str
    expires: float
    arrived: Callable[[object], None]
    wants_more: Callable[[], bool]
    is_pending: bool = True
    stranger: str | None = None

    def release(self) -> None:
        """Give the port back. Harmless when it was given back already."""
        if self.is_pending:
            self.is_pending = False
            self.ports.released(self)


def never() -> bool:
    """Take no more than one connection."""
    return False


@dataclass(slots=True)
class _Waiting:
    arrived: Callable[[object], None]
    wants_more: Callable[[], bool]
    result: Deferred[Reservation]
    timeout: IDelayedCall | None = None


@dataclass(slots=True)
class _Client:
    """The reservations of one client address, by port, and the commands that wait for the next."""

    pending: dict[int, Reservation] = field(default_factory=dict)
    waiting: deque[_Waiting] = field(default_factory=deque)
    wake: IDelayedCall | None = None


class PassivePorts:
    """
    Allocator of the ports *first* to *last* (both included).

    *listen* opens the listener of a port and raises `OSError` when it cannot; it is called once for each port, at its
    first use.
    """

    def __init__(
        self, first: int, last: int, listen: DataListener, clock: IReactorTime, patience: float = 60.0
    ) -> None:
        self.range = range(first, last + 1)
        self.patience = patience
        self.exhausted = 0
        self._listen = listen
        self._clock = clock
        self._listening: set[int] = set()
        self._offered: Sequence[int] = self.range
        self._clients: dict[str, _Client] = {}
        # By port, the reservations without a stranger yet: each notes one, so that many strangers cost no more.
        self._unaware: dict[int, set[Reservation]] = {}
        # A port that cannot be guessed is one step more for an attacker who connects to it first.
        self._random = random.SystemRandom()

    def claim(
        self, address: str, arrived: Callable[[object], None], wants_more: Callable[[], bool] = never
    ) -> Deferred[Reservation]:
        """
        Reserve a port for the client at *address*; *arrived* gets the connection, and further ones if *wants_more*.

        The Deferred fails with `PortsExhausted` when the range stays full for that address.
        """
        self._serve(address)
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = _Client()
        result: Deferred[Reservation] = Deferred()
        port = None if client.waiting else self._free_port(client)
        if port is not None:
            result.callback(self._reserve(client, address, port, arrived, wants_more))
        elif len(client.waiting) >= MAX_WAITING:
            self._refuse(result)
        else:
            waiting = _Waiting(arrived, wants_more, result)
            waiting.timeout = self._clock.callLater(WAIT_FOR_PORT, self._give_up, address, waiting)
            client.waiting.append(waiting)
            self._watch_expiry(address, client)
        return result

    def take(self, port: int, address: str) -> Reservation | None:
        """
        Return the reservation that a connection from *address* to *port* fulfils; None for a stranger.

        The port is freed unless the reservation takes more.
        """
        client = self._clients.get(address)
        reservation = client.pending.get(port) if client is not None else None
        if reservation is None:
            for unaware in self._unaware.pop(port, ()):
                unaware.stranger = address
        elif not reservation.wants_more():
            reservation.release()
        return reservation

    @property
    def offered(self) -> int:
        """The number of ports of the range that clients may get."""
        return len(self._offered)

    def keep(self, most: int) -> set[int]:
        """
        Offer at most *most* ports from now on; return those whose listeners are of no more use here, to be closed.

        Those that are offered are opened at once, before others can take them. A port with a reservation that is waited
        for stays open until a later call. With the length of the range all of it is offered again.
        """
        if most >= len(self.range):
            self._offered = self.range
            return set()
        now = self._clock.seconds()
        pending = (held for client in self._clients.values() for held in client.pending.values())
        awaited = {held.port for held in pending if held.expires > now}
        kept = set(self._offered) if len(self._offered) < len(self.range) else set[int]()
        offered: list[int] = []
        for port in sorted(self.range, key=lambda each: (each not in kept, each not in self._listening)):
            if len(offered) >= most:
                break
            if port in self._listening or self._open(port):
                offered.append(port)
        self._offered = offered
        closed = self._listening.difference(offered, awaited)
        self._listening -= closed
        return closed

    def released(self, reservation: Reservation) -> None:
        """Take *reservation* out of the table; called by the reservation itself."""
        client = self._clients.get(reservation.address)
        if client is not None and client.pending.get(reservation.port) is reservation:
            del client.pending[reservation.port]
        self._forget(reservation)
        self._serve(reservation.address)

    @property
    def claimed(self) -> int:
        """The number of pending reservations, over all addresses."""
        return sum(len(client.pending) for client in self._clients.values())

    @property
    def busiest(self) -> int:
        """The number of reservations of the client address with the most of them."""
        return max((len(client.pending) for client in self._clients.values()), default=0)

    def by_client(self) -> dict[str, int]:
        """Return the number of reservations of each client address that has some, of those with the most of them."""
        held = ((address, len(client.pending)) for address, client in self._clients.items() if client.pending)
        return dict(heapq.nlargest(MOST_TOLD, held, key=lambda each: each[1]))

    @property
    def listening(self) -> int:
        """The number of ports of the range whose listener is open."""
        return len(self._listening)

    def _reserve(
        self,
        client: _Client,
        address: str,
        port: int,
        arrived: Callable[[object], None],
        wants_more: Callable[[], bool],
    ) -> Reservation:
        old = client.pending.get(port)
        if old is not None:
            old.is_pending = False
            self._forget(old)
        reservation = Reservation(self, port, address, self._clock.seconds() + self.patience, arrived, wants_more)
        client.pending[port] = reservation
        self._unaware.setdefault(port, set()).add(reservation)
        return reservation

    def _forget(self, reservation: Reservation) -> None:
        """Note no stranger in *reservation* any more."""
        unaware = self._unaware.get(reservation.port)
        if unaware is not None:
            unaware.discard(reservation)
            if not unaware:
                del self._unaware[reservation.port]

    def _serve(self, address: str) -> None:
        """
        Give free ports to waiting commands. One that is served may release or claim at once, so look afresh each time.
        """
        while (client := self._clients.get(address)) is not None:
            port = self._free_port(client) if client.waiting else None
            if port is None:
                self._watch_expiry(address, client)
                if not client.pending and not client.waiting:
                    del self._clients[address]
                return
            waiting = client.waiting.popleft()
            if waiting.timeout is not None and waiting.timeout.active():
                waiting.timeout.cancel()
            reservation = self._reserve(client, address, port, waiting.arrived, waiting.wants_more)
            waiting.result.callback(reservation)

    def _watch_expiry(self, address: str, client: _Client) -> None:
        """
        While commands wait, look again when the oldest reservation may be taken, or when another program may have left
        a port; else stop the timer.
        """
        if client.wake is not None and client.wake.active():
            client.wake.cancel()
        client.wake = None
        waits = [held.expires - self._clock.seconds() for held in client.pending.values()]
        if not self._listening.issuperset(self._offered):
            waits.append(NEXT_TRY)
        if client.waiting and waits:
            client.wake = self._clock.callLater(max(0.0, min(waits)), self._serve, address)

    def _free_port(self, client: _Client) -> int | None:
        """Return a port this client may have, its listener open; an expired reservation counts as free."""
        count = len(self._offered)
        if not count:
            return None
        start = self._random.randrange(count)
        expired: int | None = None
        now = self._clock.seconds()
        for step in range(count):
            port = self._offered[(start + step) % count]
            held = client.pending.get(port)
            if held is None:
                if port in self._listening or self._open(port):
                    return port
            elif expired is None and held.expires <= now:
                expired = port
        return expired

    def _open(self, port: int) -> bool:
        try:
            self._listen(port)
        except OSError:
            return False
        self._listening.add(port)
        return True

    def _give_up(self, address: str, waiting: _Waiting) -> None:
        client = self._clients[address]
        client.waiting.remove(waiting)
        self._serve(address)
        self._refuse(waiting.result)

    def _refuse(self, result: Deferred[Reservation]) -> None:
        self.exhausted += 1
        result.errback(PortsExhausted(len(self.range) - self.listening))
