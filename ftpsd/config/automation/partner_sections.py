"""
The section `partners` of ftpsd.yaml: other FTPS servers that files are pushed to and pulled from.

It has no secret in it: passwords and keys stand in files that it names.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, PlainValidator, StrictStr, WithJsonSchema

from ftpsd.config.fields import Duration, FilePath, Section, TLSVersion
from ftpsd.config.sources.source_sections import is_host
from ftpsd.config.units import describe
from ftpsd.values.text import has_control

EXPLICIT_PORT: Final = 21
IMPLICIT_PORT: Final = 990


def check_host(value: object) -> str:
    """Accept the name or the address of a server."""
    if isinstance(value, str) and is_host(value):
        return value
    raise ValueError(f"{describe(value)} is not a server; write its name alone, such as ftp.example.com")


def check_account(value: object) -> str:
    """Accept a user name that fits into one command."""
    if isinstance(value, str) and 0 < len(value) <= 255 and not has_control(value):
        return value
    raise ValueError(f"{describe(value)} is not a user name; put numbers in quotes")


def _text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


PartnerName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,47}$")]
Host = Annotated[str, PlainValidator(check_host), WithJsonSchema(_text(r"^[A-Za-z0-9.:-]{1,253}$"))]
Account = Annotated[str, PlainValidator(check_account), WithJsonSchema(_text("^.{1,255}$"))]
PartnerPort = Annotated[int, Field(strict=True, ge=1, le=65535)]


class Partner(Section):
    """One other server, whose certificate is verified always, and the account there."""

    name: PartnerName
    host: Host
    mode: Literal["explicit", "implicit"] = "explicit"
    port: PartnerPort | None = None
    user: Account
    password_file: FilePath | None = None
    certificate: FilePath | None = None
    private_key: FilePath | None = None
    authority: FilePath | None = None
    minimum_version: TLSVersion = "1.2"
    timeout: Duration = 60.0
    uploads: Literal["atomic", "direct"] = "atomic"

    @property
    def real_port(self) -> int:
        """Return the port, that of the mode where none is named."""
        return self.port or (EXPLICIT_PORT if self.mode == "explicit" else IMPLICIT_PORT)
