"""
The penalties of a server: failures add up, lead to a ban, and to longer ones for repeaters.

* Each offence (offences.py) has a weight in failures. `penalties.failures` of one client within `window` ban it for
  `ban`; the next ban is twice as long, up to `max_ban`. When `max_ban` has passed since its last ban, a client is no
  repeater any more.
* The failures of all clients of a network (`network.ipv4`, `network.ipv6`) add up too, and ban it as a whole. Clients
  that are known for a good login go on connecting.
* A client from which a user has logged in within `known_for` is an office, perhaps: there the failures of one name are
  MOST_OF_NAME of the client at most. `failures` of one name have that name alone refused; the client is banned for
  KNOWN_FACTOR as many.
* While a ban lasts nothing more is counted: a client that tries again does not make its ban longer.
* Exempt networks (proxies too) are never banned, and come as fast as they like.

The table (record_table.py) has a bound, and is shared by all processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ftpsd.audit.events import (
    DAEMON,
    MOST_TYPED,
    Banned,
    ConnectionRejected,
    Event,
    LoggedIn,
    LoginRefused,
    Unbanned,
    Who,
)
from ftpsd.config.banning import Penalties
from ftpsd.config.model import Config
from ftpsd.control.gate.arrivals import Arrivals
from ftpsd.control.gate.mention import Mention
from ftpsd.control.gate.offences import OPERATOR, REASONS, Offence, offence_of
from ftpsd.control.gate.penalties import BANNED, RATE, Ban
from ftpsd.control.gate.places import Network, key_of, network_of, place_from, widened
from ftpsd.control.gate.record_table import MOST_NAME, SPANS, Record, RecordTable

# At a known client: what the failures of one name add to those of the client, and the factor of its own limit.
MOST_OF_NAME: Final = 3.0
KNOWN_FACTOR: Final = 5
# Beyond that a ban is as long as `max_ban` allows, and no number too large for its field.
MOST_LEVEL: Final = 30
OVER: Final = "over"


class GrowingPenalties:
    """The penalties out of *table*, and the rates out of *arrivals*; *clock* is the reactor's, in Unix time."""

    def __init__(self, table: RecordTable, arrivals: Arrivals, clock: IReactorTime) -> None:
        self.publish: Callable[[Event], None] = lambda _: None
        self._table = table
        self._arrivals = arrivals
        self._clock = clock
        self._mention = Mention()
        self.use(Config())

    def use(self, config: Config) -> None:
        """Go by the settings of *config* from now on."""
        self._settings: Penalties = config.penalties
        self._table.window = config.penalties.window
        self._rate, self._handshake_rate = config.limits.connection_rate, config.limits.handshake_rate
        proxies = [each.proxy_protocol.trusted for each in config.listeners if each.proxy_protocol is not None]
        self._exempt: tuple[Network, ...] = (*config.penalties.exempt, *sum(proxies, ()))
        if self._exempt:
            # They are refused no longer, so no list and no count may have them.
            self._end(lambda record: self._exempts(place_from(record.key)) is not None, OPERATOR)

    @property
    def usual_ban(self) -> float:
        """The seconds of a ban where nothing else is said."""
        return self._settings.ban

    # --- at the gate

    def refusal(self, address: str, /) -> str | None:
        """Count a connection from *address*, and return why it is refused, a key of `REJECTIONS`; None: it is not."""
        client = self._judged(address)
        if client is None:
            return None
        if self._is_banned(client):
            return BANNED
        return self._too_fast(client, "connection", self._rate)

    def handshake_refusal(self, address: str, /) -> str | None:
        """Return the same for a TLS handshake with *address*."""
        client = self._judged(address)
        return None if client is None else self._too_fast(client, "handshake", self._handshake_rate)

    def login_refusal(self, address: str, name: str, host: str = "", /) -> str | None:
        """Return the same for a login of the user *name* of *host* from there, before its password is looked at."""
        client = self._judged(address)
        if client is None:
            return None
        with self._table.lock:
            is_refused = self._table.until(key_of(client), _account(name, host)) > self._clock.seconds()
        return BANNED if is_refused or self._is_banned(client) else None

    def is_banned(self, address: str, /) -> bool:
        """Return whether *address* is banned now; nothing is counted."""
        client = self._judged(address)
        return client is not None and self._is_banned(client)

    def is_known(self, address: str, /) -> bool:
        """Return whether a user has logged in well from there of late."""
        client = network_of(address)
        if client is None:
            return False
        with self._table.lock:
            own = self._table.get(key_of(client))
        return own is not None and own.known > self._clock.seconds()

    def rejection(self, who: Who, reason: str, /) -> ConnectionRejected:
        """Return the event of a connection that was refused; beyond some in a second they are only counted."""
        return self._mention.rejection(who, reason, self._clock.seconds())

    @property
    def generation(self) -> int:
        """A number that changes with every ban, of whatever process."""
        return self._table.generation

    # --- what happens

    def note(self, event: Event, seconds: float, /) -> None:
        """Take in an event at the Unix time *seconds*. Refusals of its own weigh nothing."""
        if isinstance(event, LoggedIn):
            self._welcome(event, seconds)
            return
        offence = offence_of(event)
        if offence is None or not self._settings.enabled:
            return
        weight, client = offence.weight(self._settings.weights), self._judged(event.who.peer)
        if not weight or client is None or self._is_banned(client):
            return
        account = _account(event.name, event.who.host) if isinstance(event, LoginRefused) else ""
        name = event.name if isinstance(event, LoginRefused) else ""
        with self._table.lock:
            bans = self._count(client, offence, weight, account, name, seconds)
        for ban in bans:
            self.publish(Banned(event.who, ban.client, ban.reason, ban.until - seconds, ban.name))

    def _count(
        self, client: Network, offence: Offence, weight: float, account: str, name: str, now: float
    ) -> list[Ban]:
        """Count an offence, and return the bans that it leads to."""
        settings, table, bans = self._settings, self._table, []
        span = table.span_at(now)
        key = key_of(client)
        own = table.get(key) or Record(key)
        is_known = own.known > now
        if is_known and account:
            of_name = table.get(key, account) or Record(key, name[:MOST_NAME], is_of_name=True)
            if of_name.until > now:
                return []  # it was under way when the name was refused
            before = of_name.count(0.0, span)
            if of_name.count(weight, span) >= settings.failures:
                of_name.level = 0
                self._ban(of_name, offence, settings.ban, now)
                bans.append(self._seen(of_name))
            table.put(of_name, now, account)
            weight = min(weight, max(0.0, MOST_OF_NAME - before))
        if own.count(weight, span) >= settings.failures * (KNOWN_FACTOR if is_known else 1):
            self._ban(own, offence, settings.ban, now, client)
            bans.append(self._seen(own))
        table.put(own, now)
        if not is_known and settings.network.failures is not None:
            wide = widened(client, settings.network.ipv4 if client.version == 4 else settings.network.ipv6)
            around = table.get(key_of(wide)) or Record(key_of(wide))
            if wide != client and around.count(weight, span) >= settings.network.failures:
                self._ban(around, offence, settings.ban, now, wide)
                bans.append(self._seen(around))
            if wide != client:
                table.put(around, now)
        return bans

    def _ban(self, record: Record, offence: Offence, seconds: float, now: float, place: Network | None = None) -> None:
        """Ban *record*, twice as long as the last time; its counts begin anew."""
        record.level = min(record.level + 1, MOST_LEVEL) if record.calm > now and not record.is_of_name else 1
        longest = max(self._settings.max_ban, seconds)
        record.seconds = min(seconds * 2 ** (record.level - 1), longest)
        record.until = now + record.seconds
        record.calm = record.until + longest
        record.reason, record.is_manual = REASONS.index(offence), False
        record.counts = [0.0] * (SPANS + 1)
        if place is not None:
            self._table.note_ban(place.version, place.prefixlen)

    def _welcome(self, event: LoggedIn, now: float) -> None:
        """Note that a user has logged in well from there."""
        known_for, client = self._settings.known_for, network_of(event.who.peer)
        if client is None or not known_for:
            return
        key = key_of(client)
        with self._table.lock:
            own = self._table.get(key) or Record(key)
            # Clients log in for every file: not each of them is worth a write.
            if own.known < now + known_for * 0.99:
                own.known = now + known_for
                self._table.put(own, now)
                self._table.note_change()
            account = _account(event.who.user or "", event.who.host)
            of_name = self._table.get(key, account)
            if of_name is not None and of_name.until <= now and any(of_name.counts):
                of_name.counts = [0.0] * (SPANS + 1)
                self._table.put(of_name, now, account)

    # --- for operators

    def bans(self) -> list[Ban]:
        """Return the bans of now, the one that ends first before the others."""
        now = self._clock.seconds()
        records = [self.record_at(slot) for slot, end in self._table.banned() if end > now]
        return sorted((self._seen(record) for record in records if record.until > now), key=lambda ban: ban.until)

    def count(self) -> int:
        """Return how many bans there are."""
        now = self._clock.seconds()
        return sum(end > now for _, end in self._table.banned())

    def ban(self, place: str, seconds: float, detail: str | None = None, /) -> Ban:
        """
        Ban *place*, an address or a network, for so many *seconds*.

        Raises: ValueError, with a sentence for the operator.
        """
        network, now = place_from(place), self._clock.seconds()
        if network.prefixlen == 0:
            raise ValueError(f"{network} is everybody; close the listener instead")
        if seconds <= 0:
            raise ValueError("a ban needs a duration; to end one: ftpsd unban")
        if (exempt := self._exempts(network)) is not None:
            raise ValueError(f"{key_of(network)} is exempt: {exempt} is in penalties.exempt, or a trusted proxy")
        with self._table.lock:
            record = self._table.get(key_of(network)) or Record(key_of(network))
            record.until, record.seconds, record.level, record.is_manual = now + seconds, seconds, 1, True
            record.reason, record.name = REASONS.index(OPERATOR), detail or ""
            if not self._table.put(record, now):
                raise ValueError("the table of bans is full of longer ones")
            self._table.note_ban(network.version, network.prefixlen)
        seen = self._seen(record)
        self.publish(Banned(DAEMON, seen.client, seen.reason, seconds, detail=detail))
        return seen

    def lift(self, place: str, /) -> bool:
        """End the bans of *place*, an address or a network, and forget their causes; False: there was none."""
        try:
            return bool(self.lift_within(place_from(place)))
        except ValueError:
            return False

    def lift_within(self, place: Network) -> int:
        """End every ban in *place*, of networks in it and of names too; return how many there were."""

        def is_in(record: Record) -> bool:
            banned = place_from(record.key)
            return banned.version == place.version and banned.subnet_of(place)  # type: ignore[arg-type]

        return self._end(is_in, OPERATOR)

    def lift_all(self) -> int:
        """End every ban; return how many there were."""
        return self._end(lambda _: True, OPERATOR)

    def end_over(self) -> int:
        """Tell of the bans that are over, once for each; return how many."""
        return self._end(lambda record: record.until <= self._clock.seconds(), OVER)

    def _end(self, concerns: Callable[[Record], bool], reason: str) -> int:
        ended, now, table = [], self._clock.seconds(), self._table
        banned = table.banned()
        for slot, _ in banned:
            with table.lock:
                record = table.at(slot)
                # One that is over by itself was not ended by an operator.
                if record.until and concerns(record) and not (reason == OPERATOR and record.until <= now):
                    ended.append(record)
                    table.over(slot, forget=reason == OPERATOR)
        if ended:
            with table.lock:
                if not table.banned():
                    table.forget_prefixes()
                table.note_change()
        for record in ended:
            seen = self._seen(record)
            self.publish(Unbanned(DAEMON, seen.client, reason, seen.name))
        return len(ended)

    # --- for the state file

    @property
    def table(self) -> RecordTable:
        """The table, to be followed."""
        return self._table

    def record_at(self, slot: int) -> Record:
        """Return the record in *slot* of the table."""
        with self._table.lock:
            return self._table.at(slot)

    def restore(self, record: Record, now: float) -> None:
        """
        Take *record* over from an earlier life of the server; one that is there already goes before it.

        The clock may have been set back since: nothing lasts longer than if it had begun *now*.
        """
        place = place_from(record.key)
        record.until = min(record.until, now + record.seconds)
        record.calm = min(record.calm, now + record.seconds + max(self._settings.max_ban, record.seconds))
        record.known = min(record.known, now + self._settings.known_for)
        if self._exempts(place) is not None:
            record.until = record.calm = 0.0
        with self._table.lock:
            if self._table.get(record.key) is None and self._table.put(record, now):
                self._table.note_ban(place.version, place.prefixlen)

    # --- what it rests on

    def _judged(self, address: str) -> Network | None:
        """Return the client at *address*; None for one that is exempt, and for text that is no address."""
        client = network_of(address)
        return None if client is None or self._exempts(client) is not None else client

    def _exempts(self, network: Network) -> Network | None:
        for exempt in self._exempt:
            if exempt.version == network.version and network.subnet_of(exempt):  # type: ignore[arg-type]
                return exempt
        return None

    def _is_banned(self, client: Network) -> bool:
        now, table, is_known = self._clock.seconds(), self._table, False
        with table.lock:
            for prefix in table.banned_prefixes(client.version):
                if prefix > client.prefixlen:
                    continue
                record = table.get(key_of(widened(client, prefix)))
                if record is None or record.until <= now:
                    continue
                if prefix == client.prefixlen or record.is_manual:
                    return True
                own = table.get(key_of(client))
                is_known = own is not None and own.known > now
                if not is_known:
                    return True
        return False

    def _too_fast(self, client: Network, what: str, rate: object) -> str | None:
        if rate is None or self._arrivals.admits(f"{what} {client}", rate, self._clock.seconds()):  # type: ignore[arg-type]
            return None
        return RATE

    def _seen(self, record: Record) -> Ban:
        words = record.name or None
        return Ban(
            client=record.key,
            reason=REASONS[record.reason],
            until=record.until,
            level=record.level,
            name=words if record.is_of_name else None,
            detail=words if record.is_manual else None,
        )


def _account(name: str, host: str) -> str:
    """Return the key of a user of a virtual host; names are cut as the event cuts them."""
    return f"{host}\0{name[:MOST_TYPED]}"
