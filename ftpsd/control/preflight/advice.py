"""
The advice that follows from what was seen: exceptions for users.yaml and ftpsd.yaml, and changes of the client.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ftpsd.control.preflight.sighting import Sighting

# Reasons of transfers without a data connection (`data/trouble.py`).
NOBODY_CAME: Final = "nobody-came"
FOREIGN_ADDRESS: Final = "foreign-address"
NOT_REACHED: Final = "not-reached"
# Where bytes are no UTF-8, Western Europe's Windows is the most frequent guess; the operator asks the partner.
GUESS: Final = "cp1252"


@dataclass(frozen=True, slots=True)
class Exemption:
    """A key that the client needs, of the user in users.yaml or *is_global*, of the whole server in ftpsd.yaml."""

    key: str
    value: str
    reason: str
    is_global: bool = False


def exemptions(seen: Sequence[Sighting]) -> list[Exemption]:
    """Return what the client of these sessions needs that is not so by default."""
    return [*_of_user(seen), *_of_server(seen)]


def changes(seen: Sequence[Sighting]) -> list[str]:
    """Return what the partner has to change in the client, or in the network before it."""
    found = []
    if _sum(seen, "foreign_port"):
        found.append(
            "PORT named an address that is not the one the client comes from (NAT): turn on passive mode in the client"
        )
    if count := _reasons(seen, NOBODY_CAME):
        found.append(
            f"no data connection came to the passive port ({_times(count)}): the firewall of the client's network has "
            "to let it out to the server's passive ports"
        )
    if count := _reasons(seen, FOREIGN_ADDRESS):
        found.append(
            f"data connections came from another address than the control connection ({_times(count)}): NAT or a proxy "
            "of the client's network has to use one address for both"
        )
    if count := _reasons(seen, NOT_REACHED):
        found.append(f"the client's port could not be reached in active mode ({_times(count)}): turn on passive mode")
    if count := _sum(seen, "clear_refused"):
        found.append(f"PROT C was refused ({_times(count)}): have the client encrypt data connections (PROT P)")
    if count := _sum(seen, "tls_failed"):
        found.append(f"TLS on data connections failed ({_times(count)}): the server's audit log has the alert")
    if count := _sum(seen, "broken_uploads") + _sum(seen, "broken_downloads"):
        found.append(f"transfers were cut off ({_times(count)}): look at timeouts of the client and firewalls between")
    return found


def yaml_for(name: str, found: Sequence[Exemption]) -> list[str]:
    """Return the lines of users.yaml for the user called *name*, and of ftpsd.yaml; none where nothing is needed."""
    lines = []
    own = [each for each in found if not each.is_global]
    if own:
        lines += ["# users.yaml", "users:", f"  {name}:"]
        lines += [f"    {each.key}: {each.value}  # {each.reason}" for each in own]
    if others := [each for each in found if each.is_global]:
        lines.append("# ftpsd.yaml")
        lines += [f"{each.key}: {each.value}  # {each.reason}" for each in others]
    return lines


def _of_user(seen: Sequence[Sighting]) -> Iterator[Exemption]:
    if new := _sum(seen, "not_resumed"):
        every = new + _sum(seen, "resumed")
        yield Exemption("data_session_reuse", "offered", f"{new} of {every} data connections did not resume TLS")
    if fin := _sum(seen, "closed_by_fin"):
        every = fin + _sum(seen, "closed_by_tls")
        yield Exemption("upload_end", "fin", f"{fin} of {every} uploads ended without close_notify")
    if names := _sum(seen, "names_not_utf8"):
        yield Exemption("encoding", GUESS, f"{names} names were not UTF-8; ask the partner for the encoding")


def _of_server(seen: Sequence[Sighting]) -> Iterator[Exemption]:
    if any(each.active or each.done["PORT"] or each.done["EPRT"] for each in seen):
        yield Exemption("active", "{enabled: true}", "the client uses active mode; true by default", is_global=True)
    versions = {each.tls for each in seen}
    if None in versions:
        yield Exemption("tls", "{require: none}", "the client logs in without TLS", is_global=True)
    elif _sum(seen, "clear_asked") > _sum(seen, "clear_refused"):
        yield Exemption("tls", "{require: control}", "the client sends files in clear (PROT C)", is_global=True)
    elif "TLSv1.2" in versions:
        reason = "the client was seen with TLS 1.2; the default"
        yield Exemption("tls", '{minimum_version: "1.2"}', reason, is_global=True)


def _sum(seen: Sequence[Sighting], name: str) -> int:
    return sum(getattr(each, name) for each in seen)


def _reasons(seen: Sequence[Sighting], reason: str) -> int:
    return sum(each.no_connection[reason] for each in seen)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
