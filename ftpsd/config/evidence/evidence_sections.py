"""
The sections `audit.chain` and `audit.ship` of ftpsd.yaml.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import Field, PlainValidator, StrictInt, StrictStr, WithJsonSchema

from ftpsd.config.fields import Count, Duration, FilePath, Section
from ftpsd.config.units import describe

# RFC 1123 section 2.1, or an address.
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
# It is a label of metrics, and a key in the state file.
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


def check_host(value: object) -> str:
    """Accept a DNS name or an address."""
    if isinstance(value, str) and _HOST.fullmatch(value):
        return value
    raise ValueError(f"{describe(value)} is neither a DNS name nor an address")


def check_name(value: object) -> str:
    """Accept a short word."""
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise ValueError(f"{describe(value)} is not a name; write lower-case letters, digits and -, such as siem")


class AuditChain(Section):
    """The key that signs the audit log: after so many *lines* of a process, and *every* so many seconds."""

    private_key: FilePath
    lines: Count = 1000
    every: Duration = 60.0


class ShipTarget(Section):
    """A receiver of the audit log: syslog over TLS (RFC 5424 and 5425)."""

    name: Annotated[StrictStr, PlainValidator(check_name), WithJsonSchema({"type": "string", "pattern": _NAME.pattern})]
    host: Annotated[StrictStr, PlainValidator(check_host), WithJsonSchema({"type": "string"})]
    port: Annotated[StrictInt, Field(ge=1, le=65535)] = 6514
    format: Literal["json", "cef", "ocsf"] = "json"
    confirm: Literal["close-notify", "fin"] = "close-notify"
    authority: FilePath | None = None
    certificate: FilePath | None = None
    private_key: FilePath | None = None
