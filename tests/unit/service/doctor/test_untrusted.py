"""The remedies for chains that are not accepted, by the codes that OpenSSL itself gives them."""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from ftpsd.cli.installing.self_signed import self_signed
from ftpsd.doctor.untrusted import remedy

NAME = "ftp.example.test"
DAY = timedelta(days=1)


def code_of(file: Path, chain: list[bytes], trusted: trustme.CA | None = None) -> int:
    """Return OpenSSL's code for *chain*, with its key, where *trusted* is, or the authorities of this machine."""
    file.write_bytes(b"".join(chain))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    client = ssl.create_default_context(cadata=None if trusted is None else trusted.cert_pem.bytes().decode())
    client.check_hostname = False
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
    try:
        for side in sides * 4:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code
    raise AssertionError("the chain was accepted")


def issued(
    authority: trustme.CA, *, first: timedelta = -DAY, last: timedelta = DAY, chain: slice = slice(None)
) -> list[bytes]:
    """Return a key and a certificate of *authority*, and of the *chain* behind it that much."""
    now = datetime.now(UTC)
    leaf = authority.issue_cert(NAME, not_before=now + first, not_after=now + last)
    return [leaf.private_key_pem.bytes(), *(each.bytes() for each in leaf.cert_chain_pems[chain])]


def test_each_fault_has_its_remedy(tmp_path: Path) -> None:
    """Self-signed, of an own authority, expired, not valid yet, and incomplete."""
    file, root = tmp_path / "chain.pem", trustme.CA()
    between = root.create_child_ca()
    for chain, trusted, words in (
        (list(self_signed(NAME)), None, "issued by an authority that clients trust"),
        ([*issued(root), root.cert_pem.bytes()], None, "give clients the certificate of the authority"),
        (issued(root, first=-9 * DAY, last=-DAY), root, "renew the certificate"),
        (issued(root, first=DAY, last=9 * DAY), root, "look at the clocks"),
        (issued(between, chain=slice(1)), root, "put the intermediate certificates behind"),
    ):
        code = code_of(file, chain, trusted)
        assert words in remedy(code, is_named=trusted is not None), (words, code)
    assert remedy(code, is_named=False).endswith("name it with --ca FILE")
