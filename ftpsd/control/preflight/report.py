"""
The report for the partner, as text: what was seen of the client in this session and in those before, what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ftpsd.control.preflight.advice import changes, exemptions
from ftpsd.control.preflight.sighting import Sighting
from ftpsd.values.text import moment

# Bytes of the file, always: what is seen grows between SIZE and RETR, and clients compare the two.
LENGTH: Final = 8192
WIDTH: Final = 31


def report_file(seen: Sequence[Sighting]) -> bytes:
    """Return the report as a file of `LENGTH` bytes."""
    lines = [
        "Preflight: what works for your client, as this server has seen it.",
        "Try what you will need: list, upload, download, resume, and read this file again.",
        "SITE PREFLIGHT shows the same as a reply.",
        "",
        *report(seen),
    ]
    text = ("\r\n".join(lines) + "\r\n").encode("ascii", "replace")[: LENGTH - 2]
    return text + b" " * (LENGTH - 2 - len(text)) + b"\r\n"


def report(seen: Sequence[Sighting]) -> list[str]:
    """Return the lines about *seen*, the newest session last."""
    if not seen:
        return ["Nothing was seen yet."]
    lines = [f"{name + ' ':.<{WIDTH}} {found}" for name, found in _facts(seen)]
    began, peers = seen[0].began, sorted({each.peer for each in seen})[:5]
    lines.append(f"Seen since {moment(began)} UTC in {len(seen)} session(s), from {', '.join(peers)}.")
    lines.append("")
    lines.append("What the operator of the server allows for this client, beside the rules for all:")
    own = [each for each in exemptions(seen) if not each.is_global]
    lines += [f"  {each.key}: {each.value} ({each.reason})" for each in own] or ["  nothing"]
    lines.append("What to change at the client:")
    lines += [f"  {each}" for each in changes(seen)] or ["  nothing"]
    return lines


def _facts(seen: Sequence[Sighting]) -> Iterator[tuple[str, str]]:
    newest = seen[-1]

    def total(name: str) -> int:
        return sum(getattr(each, name) for each in seen)

    def used(*verbs: str) -> list[str]:
        return [verb for verb in verbs if any(each.done[verb] for each in seen)]

    if newest.tls is None:
        yield "control connection", "IN CLEAR"
    else:
        parts = [newest.tls, newest.cipher or "", f"keys by {newest.group}" if newest.group else ""]
        yield "control connection", ", ".join(filter(None, parts))
        yield "server name asked for (SNI)", newest.server_name or "none"
    resumed, new = total("resumed"), total("not_resumed")
    opened = total("passive") + total("active")
    yield "data connections under TLS", _of(resumed + new, opened)
    yield "TLS session resumed", _of(resumed, resumed + new)
    passive = " and ".join(used("EPSV", "PASV"))
    yield "passive mode", _way(passive, total("passive"))
    active = " and ".join(used("EPRT", "PORT"))
    yield "active mode", _way(active, total("active"))
    yield "address in PORT", "NOT the client's" if total("foreign_port") else "the client's" if active else _NONE
    yield "transfer type", " and ".join(sorted(set().union(*(each.types for each in seen)))) or "as by default"
    yield "listing", ", ".join(used("MLSD", "MLST", "LIST", "NLST")) or _NONE
    yield "upload", _count(total("uploads"), total("broken_uploads"))
    yield "upload ends by close_notify", _of(total("closed_by_tls"), total("closed_by_tls") + total("closed_by_fin"))
    yield "upload resumed", _count(total("resumed_uploads"))
    yield "download", _count(total("downloads"), total("broken_downloads"))
    yield "download resumed", _count(total("resumed_downloads"))
    wants = any(each.wants_utf8 for each in seen)
    yield "OPTS UTF8 ON", "sent" if wants else "not sent"
    yield "names beyond ASCII", _names(total("names_beyond_ascii"), total("names_not_utf8"))


_NONE: Final = "not tried yet"


def _of(good: int, every: int) -> str:
    if every == 0:
        return _NONE
    return f"yes, all {every}" if good == every else f"NO, {good} of {every}"


def _way(verbs: str, connections: int) -> str:
    if not verbs:
        return _NONE
    return f"works, {verbs}" if connections else f"{verbs}, BUT NO CONNECTION"


def _count(good: int, broken: int = 0) -> str:
    if not good and not broken:
        return _NONE
    return f"works, {good}" + (f"; CUT OFF, {broken}" if broken else "") if good else f"CUT OFF, {broken}"


def _names(good: int, bad: int) -> str:
    return f"NOT in UTF-8, {bad}" if bad else f"in UTF-8, {good}" if good else _NONE
