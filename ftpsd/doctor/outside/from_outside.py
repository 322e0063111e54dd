"""
The whole examination from another machine: it has no configuration of the server, which may be any FTPS server.

A password is sent only under TLS, to a server whose certificate is trusted here and is for the name that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ftpsd.config.units import PortRange
from ftpsd.doctor.finding import Finding, Level, ok, problem, warning
from ftpsd.doctor.outside.data_ways import (
    look_at_active,
    look_at_data_in_clear,
    look_at_new_sessions,
    look_at_passive,
    look_at_ports,
    look_at_resumed,
)
from ftpsd.doctor.outside.files_tried import look_at_files
from ftpsd.doctor.outside.patience import Patience
from ftpsd.doctor.outside.tls_seen import look_at_shown, look_at_versions
from ftpsd.doctor.outside.visit import Place, Untrusted, Visit
from ftpsd.doctor.probe import Login
from ftpsd.doctor.untrusted import remedy
from ftpsd.partners.contact import Fault, PartnerError

LISTENING = "look at the listeners of ftpsd.yaml and at the firewall"
# Nobody's: whether a name is taken in clear is seen without one of a user.
STRANGER = "ftpsd-doctor"


@dataclass(frozen=True, slots=True)
class Wishes:
    """Where to connect to, and what to try there; *name* is what the certificate must be for."""

    host: str
    name: str
    explicit: int
    implicit: int
    authority: Path | None
    login: Login | None
    directory: str | None
    ports: PortRange | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A place that speaks FTPS, at *address*; whether the certificate *shown* is trusted and for the name asked for."""

    place: Place
    address: str
    shown: bytes | None
    is_trusted: bool


def examine_from_outside(wishes: Wishes, patience: Patience) -> Iterator[Finding]:
    """Yield everything that is found about the server at `wishes.host`. Blocks, for as long as *patience* has."""
    arrived: list[Arrival] = []
    for port, is_implicit in ((wishes.explicit, False), (wishes.implicit, True)):
        place = Place(wishes.host, port, is_implicit, wishes.name, wishes.authority)
        yield from _told(place, _arrive(place, patience, arrived))
    if not arrived:
        yield problem("nothing that speaks FTPS was reached", "look at the firewall, at NAT, and at the daemon's log")
        return
    first = arrived[0]
    yield from _told(first.place, look_at_versions(first.place, patience))
    if wishes.ports is not None:
        yield from look_at_ports(first.address, wishes.ports)
    if wishes.login is None:
        yield ok("nobody was logged in: --user NAME tries data connections and files, too")
    elif not first.is_trusted:
        yield problem(
            "no password was sent to a server whose certificate is not trusted, or is not for its name",
            "see above; --ca FILE names an authority of your own, --host NAME the name in the certificate",
        )
    else:
        yield from _told(first.place, _log_in(first.place, wishes.login, wishes.directory, patience))


def _arrive(place: Place, patience: Patience, arrived: list[Arrival]) -> Iterator[Finding]:
    """Yield what is found of greeting, TLS and certificate, and add the place to *arrived* where it speaks FTPS."""
    with Visit(place, patience, is_checked=True) as visit:
        try:
            visit.connect()
        except PartnerError as error:
            yield warning(f"{place} cannot be reached: {error}", f"{LISTENING}, tcp dport {place.port}")
            return
        try:
            yield from _begin(visit)
        except Untrusted as error:
            untrusted: Untrusted | None = error
        else:
            untrusted = None
            yield ok(f"{place.kind}: the certificate chain is accepted by {place.trusting}")
            yield from _met(visit, True, arrived)
    if untrusted is not None:
        text = f"{place.kind}: the certificate chain is not accepted by {place.trusting} ({untrusted})"
        yield problem(text, remedy(untrusted.code, is_named=place.authority is not None))
        with Visit(place, patience, is_checked=False) as visit:
            visit.connect()
            for _ in _begin(visit):
                pass  # told already
            yield from _met(visit, False, arrived)
    if not place.is_implicit:
        yield from _look_at_clear(place, patience)


def _begin(visit: Visit) -> Iterator[Finding]:
    """Yield what is found until TLS is there."""
    place = visit.place
    if place.is_implicit:
        visit.secure()
    greeting = visit.greeting()
    yield ok(f"{place} greets: {greeting}")
    if greeting.code // 100 != 2:
        raise PartnerError(Fault.REFUSED, f"the greeting is no welcome: {greeting}")
    if not place.is_implicit:
        answer = visit.ask("AUTH TLS")
        if answer.code // 100 != 2:
            raise PartnerError(Fault.REFUSED, f"AUTH TLS is refused ({answer}): it has no TLS")
        visit.secure()


def _met(visit: Visit, is_trusted: bool, arrived: list[Arrival]) -> Iterator[Finding]:
    """Yield what is found on a control connection under TLS, and leave."""
    secured = visit.secured
    where = visit.place.kind
    yield ok(f"{where}: TLS works, {secured.version()}, {(secured.cipher() or ('unknown',))[0]}")
    shown = secured.getpeercert(binary_form=True)
    findings = list(look_at_shown(shown, visit.place.name))
    if any(other.shown == shown for other in arrived):
        yield ok(f"{where}: the certificate is the same")
    else:
        yield from findings
    is_good = all(finding.level is not Level.PROBLEM for finding in findings)
    arrived.append(Arrival(visit.place, visit.address, shown, is_trusted and is_good))
    if visit.leave():
        yield ok(f"{where}: the control connection ends with close_notify")
    else:
        yield warning(
            f"{where}: the control connection ends without close_notify",
            "strict clients (GnuTLS) report an error at the end of each session; the server is at fault",
        )


def _look_at_clear(place: Place, patience: Patience) -> Iterator[Finding]:
    """Yield whether a password would be taken before TLS; none is sent."""
    with Visit(place, patience, is_checked=False) as visit:
        visit.connect()
        visit.greeting()
        try:
            answer = visit.ask(f"USER {STRANGER}")
        except PartnerError as error:
            answer = None
            yield ok(f"a login without TLS is refused ({error})")
    if answer is not None and answer.code // 100 in (2, 3):
        yield problem(
            f"a login without TLS goes on ({answer}): passwords cross the network in clear",
            "set tls.require: control-and-data in ftpsd.yaml",
        )
    elif answer is not None:
        yield ok(f"a login without TLS is refused ({answer})")


def _log_in(place: Place, login: Login, directory: str | None, patience: Patience) -> Iterator[Finding]:
    """Yield what a user finds who is logged in; what servers end a session for has a session of its own."""

    def session() -> AbstractContextManager[Visit]:
        return _session(place, login, directory, patience)

    with session() as visit:
        yield ok(f"{login.user} can log in")
        yield from look_at_passive(visit)
        yield look_at_resumed(visit)
        yield from look_at_files(visit)
    for look in (look_at_new_sessions, look_at_data_in_clear, look_at_active):
        with session() as visit:
            yield look(visit)


@contextmanager
def _session(place: Place, login: Login, directory: str | None, patience: Patience) -> Iterator[Visit]:
    with Visit(place, patience, is_checked=True) as visit:
        visit.connect()
        for _ in _begin(visit):
            pass  # told already
        answer = visit.ask(f"USER {login.user}")
        if answer.code == 331:
            answer = visit.ask(f"PASS {login.password}")
        if answer.code == 332:
            raise PartnerError(Fault.LOGIN, f"{login.user} is asked for a second factor ({answer}); take another user")
        if answer.code // 100 != 2:
            raise PartnerError(Fault.LOGIN, f"{login.user} cannot log in ({answer}); its audit log has the reason")
        visit.demand("PBSZ 0")
        visit.demand("PROT P")
        if directory is not None:
            visit.demand(f"CWD {directory}")
        yield visit
        visit.leave()


def _told(place: Place, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield *findings*, and the reason where they come to an early end."""
    try:
        yield from findings
    except PartnerError as error:
        yield problem(f"{place}: {error}", "nothing behind it was tried; look whether FTPS listens there, and its log")
