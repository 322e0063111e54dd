"""
The keys about how a user logs in: the method, the certificates that are the user's, and the second factor.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from ftpsd.config.fields import Expiry, Section
from ftpsd.config.units import describe
from ftpsd.config.virtual_hosts import check_host_name
from ftpsd.values.login.second_factor import DIGEST, read_secret

_FINGERPRINT: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
# RFC 5280, 4.2.1.6: IA5String, so printable ASCII; the longest that OpenSSL writes into a request by itself.
_LONGEST: Final = 1024


def check_fingerprint(value: object) -> str:
    """Accept a SHA-256 fingerprint, also in capitals and with colons between the bytes as OpenSSL prints it."""
    if isinstance(value, str):
        plain = value.strip().lower().removeprefix("sha256:").replace(":", "")
        found = _FINGERPRINT.fullmatch(plain)
        if found is not None:
            return f"sha256:{found[1]}"
    raise ValueError(
        f"{describe(value)} is no SHA-256 fingerprint; write sha256: and the 64 digits that "
        "`openssl x509 -noout -fingerprint -sha256 -in FILE` prints"
    )


def check_alternative_name(value: object) -> str:
    """Accept a DNS name, an email address or a URI, as it stands in a certificate."""
    if isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isascii() and value.isprintable():
        if _SCHEME.fullmatch(value):
            return value
        if "@" in value and " " not in value and all(value.rpartition("@")[::2]):
            return value
        if not value.startswith("*"):
            try:
                return check_host_name(value)
            except ValueError:
                pass
    raise ValueError(
        f"{describe(value)} is no subject alternative name; write a DNS name (client.example.com), an email address "
        "or a URI, as it stands in the certificate"
    )


class CertificateEntry(Section):
    """One certificate of a user as written: a fingerprint, or a name in it."""

    fingerprint: Annotated[
        str | None,
        PlainValidator(check_fingerprint),
        WithJsonSchema({"type": "string", "pattern": "^([Ss][Hh][Aa]256:)?[0-9A-Fa-f:]{64,95}$"}),
    ] = None
    subject_alternative_name: Annotated[
        str | None, PlainValidator(check_alternative_name), WithJsonSchema({"type": "string", "minLength": 1})
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _one_of_both(cls, data: Any) -> Any:
        if (
            isinstance(data, dict)
            and len(data.keys() & cls.model_fields.keys()) != 1
            and not data.keys() - cls.model_fields.keys()
        ):
            raise ValueError(
                "a certificate is named by a fingerprint or by a subject_alternative_name; write one of them"
            )
        return data


Required = Literal["required"]


def check_secret(value: object) -> bytes:
    """Accept the secret of a device in base32; the value is never repeated in a complaint."""
    if not isinstance(value, str):
        raise ValueError("not a secret in base32, in quotes; make one with `ftpsd user otp NAME`")
    return read_secret(value)


def check_recovery(value: object) -> str:
    """Accept the digest of a recovery code; the value is never repeated in a complaint."""
    if isinstance(value, str) and re.fullmatch(rf"[0-9a-f]{{{DIGEST}}}", value):
        return value
    raise ValueError("not the digest of a recovery code, in quotes; make new ones: `ftpsd user otp NAME --recovery`")


class SecondFactorEntry(Section):
    """The second factor of a user as written."""

    totp: Annotated[
        bytes,
        PlainValidator(check_secret),
        WithJsonSchema({"type": "string", "pattern": "^[A-Za-z2-7 -]{26,}=*$"}),
        Field(repr=False),
    ]
    recovery: Annotated[
        tuple[
            Annotated[
                str,
                PlainValidator(check_recovery),
                WithJsonSchema({"type": "string", "pattern": f"^[0-9a-f]{{{DIGEST}}}$"}),
            ],
            ...,
        ],
        Field(repr=False, max_length=100),
    ] = ()
    recovery_made: Expiry | None = None


def to_be_enrolled(value: object) -> object:
    """Take `required`, and a second factor with nothing in it, for one that has to be enrolled first."""
    if value == "required" or value == {}:
        return SecondFactorEntry.model_construct(totp=b"")
    if isinstance(value, str):
        raise ValueError("not a second factor; write required, or let `ftpsd user otp NAME` write one")
    return value


SecondFactorField = Annotated[
    SecondFactorEntry | None,
    BeforeValidator(to_be_enrolled, json_schema_input_type=SecondFactorEntry | dict[str, object] | Required | None),
    Field(repr=False),
]
