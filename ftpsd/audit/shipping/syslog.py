"""
A line of the log as a message of syslog: RFC 5424, counted as RFC 5425 wants it on a TLS connection.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from ftpsd.audit.evidence.link import read_line
from ftpsd.audit.journal import INFO, PRIORITIES, WARNING
from ftpsd.audit.shipping.forms import as_cef, as_ocsf
from ftpsd.values.direction import Result

Form = Literal["json", "cef", "ocsf"]

# RFC 5424, 6.2.1: log audit.
FACILITY: Final = 13
# RFC 5424, 6: what no field of the header may hold.
_NOT_IN_HEADER: Final = re.compile(r"[^!-~]")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z")
_FORMS: Final[Mapping[Form, Callable[[Mapping[str, Any], int], str]]] = {"cef": as_cef, "ocsf": as_ocsf}


def framed(line: bytes, form: Form, host: str) -> bytes:
    """Return *line* as a counted message of the machine *host*."""
    fields = read_line(line) or {}
    severity = severity_of(fields)
    body = _FORMS[form](fields, severity).encode("utf-8") if form in _FORMS and fields else line.rstrip(b"\n")
    time = str(fields.get("time", ""))
    stamp = time if _TIME.fullmatch(time) else "-"
    name = in_header(str(fields.get("event", "")), 32)
    message = f"<{FACILITY * 8 + severity}>1 {stamp} {host} ftpsd - {name} - ".encode("ascii") + body
    return b"%d %b" % (len(message), message)


def severity_of(fields: Mapping[str, Any]) -> int:
    """Return the severity of an event, which is its priority in the journal."""
    if fields.get("result") == Result.FAILED:
        return WARNING
    return PRIORITIES.get(str(fields.get("event")), INFO)


def in_header(text: str, most: int) -> str:
    """Return *text* as a field of the header, which has *most* characters."""
    return _NOT_IN_HEADER.sub("_", text)[:most] or "-"


def own_host() -> str:
    """Return the name of this machine as a field of the header."""
    return in_header(socket.gethostname(), 255)
