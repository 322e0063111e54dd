"""
The ways to a data connection from outside: passive ports, the address in a 227, active mode, and the TLS session.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import Final

from ftpsd.config.units import PortRange
from ftpsd.doctor.finding import Finding, ok, problem, warning
from ftpsd.doctor.outside.visit import Visit
from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.partners.replies import passive_address

RANGE: Final = "the firewall and NAT must let clients through to the whole range passive.ports of ftpsd.yaml"
OUTER: Final = "set passive.public_address in ftpsd.yaml to the outer address"
# Ports that are tried at the same time; a firewall may take more for a scan.
AT_ONCE: Final = 32
# Seconds for one of them.
PORT_PATIENCE: Final = 5.0


def look_at_passive(visit: Visit) -> Iterator[Finding]:
    """Yield whether EPSV and PASV work, and whether the address of a 227 is one that clients can use."""
    yield from _tried(visit, "EPSV")
    if ":" in visit.address:
        return  # a 227 has no IPv6 address, and clients do not ask for one
    try:
        answer, port = visit.passive("PASV")
    except PartnerError as error:
        yield warning(f"PASV is refused ({error}): older clients know nothing else", "look at the server's log")
        return
    announced = passive_address(answer)
    if announced is None:
        yield problem(f"PASV is answered {answer}, without an address", "the server is at fault")
        return
    if announced == visit.address:
        yield _reached(visit, f"PASV announces {announced}, the address of the server", announced, port)
    elif not ip_address(announced).is_global and ip_address(visit.address).is_global:
        yield problem(
            f"PASV announces {announced}, a private address, and from outside the server is {visit.address}: it is "
            "behind NAT and does not know",
            f"{OUTER}, {visit.address}",
        )
    else:
        said = f"PASV announces {announced}, and the server was reached at {visit.address}"
        found = _reached(visit, said, announced, port)
        yield found if found.remedy == "" else problem(found.text, OUTER)


def look_at_resumed(visit: Visit) -> Finding:
    """Return whether data connections can resume the TLS session."""
    if visit.read("NLST").is_resumed:
        return ok("a data connection resumes the TLS session of the control connection")
    return warning(
        "the data connection did not resume the TLS session: clients that insist on it (FileZilla) fail",
        "turn session reuse on at the server, and look whether something ends TLS in front of it",
    )


def look_at_new_sessions(visit: Visit) -> Finding:
    """Return whether data connections have to resume the TLS session. Servers may end the session over it."""
    try:
        visit.read("NLST", resumes=False)
    except PartnerError as error:
        return ok(f"a data connection that does not resume the TLS session is refused ({error})")
    return warning(
        "a data connection that does not resume the TLS session is accepted: whoever is first at the port gets it",
        "set tls.data_session_reuse: required in ftpsd.yaml, and offered for the users whose clients cannot",
    )


def look_at_data_in_clear(visit: Visit) -> Finding:
    """Return whether files may cross the network in clear."""
    answer = visit.ask("PROT C")
    if answer.code // 100 != 2:
        return ok(f"data connections in clear are refused ({answer})")
    with visit.reach(visit.address, visit.any_passive()):
        answer = visit.ask("NLST")
    if answer.code // 100 != 1:
        return ok(f"data connections in clear are refused ({answer})")
    return warning(
        "PROT C is allowed: files and listings may cross the network in clear",
        "set tls.require: control-and-data in ftpsd.yaml",
    )


def look_at_active(visit: Visit) -> Finding:
    """Return whether the server connects to this machine in active mode."""
    own, far = ip_address(visit.own_address), ip_address(visit.address)
    if far.is_global and not own.is_global:
        return ok(f"active mode was not tried: this machine is behind NAT itself ({own})")
    try:
        with visit.transfer_active("NLST") as data:
            visit.received(data)
        visit.finish()
    except PartnerError as error:
        if error.fault is Fault.REFUSED:
            return warning(
                f"active mode is refused ({error}); passive mode serves nearly all clients",
                "set active: {enabled: true} in ftpsd.yaml where a client needs it",
            )
        return warning(
            f"active mode does not reach this machine ({error})",
            "let the server connect out from active.source_port (20), and clients' firewalls let it in; or set active: "
            "{enabled: false} in ftpsd.yaml, so that clients turn to passive mode at once",
        )
    return ok("active mode works: the server connected to this machine")


def knocked(address: str, ports: Sequence[int]) -> dict[int, int]:
    """Return the number of the error at each of *ports*, 0 where a connection was made."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    waiting: dict[socket.socket, int] = {}
    found = {}
    for port in ports:
        knocking = socket.socket(family, socket.SOCK_STREAM)
        knocking.setblocking(False)
        waiting[knocking] = port
        found[port] = errno.ETIMEDOUT
        if (number := knocking.connect_ex((address, port))) not in (0, errno.EINPROGRESS):
            found[port] = number
            del waiting[knocking]
            knocking.close()
    deadline = time.monotonic() + PORT_PATIENCE
    while waiting and (left := deadline - time.monotonic()) > 0:
        for knocking in select.select([], list(waiting), [], left)[1]:
            found[waiting.pop(knocking)] = knocking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            knocking.close()
    for knocking in waiting:
        knocking.close()
    return found


def look_at_ports(
    address: str, ports: PortRange, knock: Callable[[str, Sequence[int]], dict[int, int]] = knocked
) -> Iterator[Finding]:
    """Yield whether every one of *ports* can be reached; a refusal of the machine itself shows that it can."""
    silent, refused = [], []
    numbers = list(ports)
    for first in range(0, len(numbers), AT_ONCE):
        for port, number in knock(address, numbers[first : first + AT_ONCE]).items():
            if number == errno.ECONNREFUSED:
                refused.append(port)
            elif number:
                silent.append(port)
    if silent:
        yield problem(
            f"{len(silent)} of {len(numbers)} passive ports do not answer ({_spans(silent)}): a firewall drops them",
            f"{RANGE}; with nftables: tcp dport {ports} accept",
        )
        return
    closed = (
        f"; {len(refused)} refuse ({_spans(refused)}), as ports do that no client was given yet, and as a firewall "
        "does that rejects"
    )
    yield ok(f"no firewall drops connections to the {len(numbers)} passive ports {ports}{closed if refused else ''}")


def _tried(visit: Visit, verb: str) -> Iterator[Finding]:
    try:
        _, port = visit.passive(verb)
    except PartnerError as error:
        if error.fault is not Fault.REFUSED:
            raise
        yield warning(f"{verb} is refused ({error}): clients over IPv6 need it", "look at the server's log")
        return
    yield _reached(visit, f"{verb} works", visit.address, port)


def _reached(visit: Visit, text: str, host: str, port: int) -> Finding:
    """Connect, and say nothing: what a server names may be anybody's port."""
    try:
        visit.reach(host, port).close()
    except PartnerError as error:
        return problem(f"{text}, but port {port} of {host} cannot be reached: {error}", RANGE)
    return ok(f"{text}, and port {port} can be reached")


def _spans(ports: Sequence[int]) -> str:
    """Write ports in ascending order: 3000-3004, 3007."""
    spans: list[list[int]] = []
    for port in ports:
        if spans and port == spans[-1][-1] + 1:
            spans[-1][1:] = [port]
        else:
            spans.append([port])
    said = ["-".join(map(str, span)) for span in spans[:10]]
    return ", ".join(said) + (", …" if len(spans) > len(said) else "")
