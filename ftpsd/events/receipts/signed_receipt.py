"""
One receipt: what it says, its name, and the signature around it. Pure.

It is an S/MIME message (RFC 8551, multipart/signed): its text is JSON that people can read, and `openssl cms -verify`
verifies it as it is. All of it is ASCII without a character that a terminal would obey; names from clients are values.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

from ftpsd.config.receipts.receipt_files import SigningFiles
from ftpsd.config.receipts.receipt_sections import DOWNLOADS, UPLOADS

SUFFIX: Final = ".eml"
# The events that are transfers, each with its kind.
TRANSFERS: Final = {"file-stored": UPLOADS, "upload-published": UPLOADS, "file-sent": DOWNLOADS}
# Facts of the event, by the names they have in a receipt.
_FACTS: Final = (
    ("transfer", "event"),
    ("time", "time"),
    ("user", "user"),
    ("host", "host"),
    ("peer", "peer"),
    ("path", "path"),
    ("uploaded_as", "uploaded_as"),
    ("sent_path", "sent_path"),
    ("bytes", "bytes"),
    ("offset", "offset"),
    ("sha256", "sha256"),
    ("sent_sha256", "sent_sha256"),
    ("signed_by", "signed_by"),
    ("tls", "tls"),
    ("verdict", "verdict"),
    ("session", "session"),
    ("settled", "settled"),
)
_NAME: Final = re.compile(r"([0-9]{8}T[0-9]{6})Z-[A-Za-z0-9-]+\.eml")


class Signer:
    """The pair of *files*, which signs."""

    def __init__(self, files: SigningFiles) -> None:
        self._certificate, *self._others = x509.load_pem_x509_certificates(files.certificates)
        key = load_pem_private_key(files.private_key, None)
        assert isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey), "the files were checked"
        self._key = key

    def sign(self, content: bytes) -> bytes:
        """Return *content* in a message with its signature."""
        builder = PKCS7SignatureBuilder().set_data(content).add_signer(self._certificate, self._key, SHA256())
        for other in self._others:
            builder = builder.add_certificate(other)
        return builder.sign(Encoding.SMIME, [PKCS7Options.DetachedSignature])


def content_of(id: str, data: Mapping[str, Any], server: str) -> bytes:
    """Return what the receipt of the event *id* says, whose line of the audit log is *data*."""
    fields: dict[str, Any] = {"receipt": 1, "server": server, "id": id}
    fields |= {name: data[key] for name, key in _FACTS if data.get(key) is not None}
    return json.dumps(fields, indent=2, ensure_ascii=True).encode("ascii") + b"\n"


def name_of(id: str, seconds: float) -> str:
    """Return the name of the receipt of the event *id*: by time, and the same whenever it is made."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds)) + f"-{id}{SUFFIX}"


def moment_of(name: str) -> float | None:
    """Return the time in the *name* of a receipt, None for a file that is none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return float(_calendar(match[1]))
    except ValueError:
        return None


def _calendar(text: str) -> int:
    from calendar import timegm

    return timegm(time.strptime(text, "%Y%m%dT%H%M%S"))
