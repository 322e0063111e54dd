"""Receipts in the configuration: the pair that signs, and the users who get them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ftpsd.auth.explain import explain
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.config.people.provenance import Provenance
from ftpsd.config.reading import read_config
from ftpsd.config.receipts.receipt_files import look_at_receipts, read_signing_files
from ftpsd.config.users import Users, read_users
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import CHANGES, Permission

PAIR = {"certificate": "pem", "private_key": "key"}
EVENTS = {"record": ["file-stored", "file-sent"]}


def make(folder: Path, key: Any = None, *, days: int = 365, extensions: tuple[x509.ExtensionType, ...] = ()) -> None:
    """Write a pair."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receipts")])
    now = datetime.now(UTC)
    begun = now - timedelta(days=400)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(begun).not_valid_after(now + timedelta(days=days))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    (folder / "pem").write_bytes(builder.sign(key, algorithm).public_bytes(Encoding.PEM))
    write_key(folder, key)


def write_key(folder: Path, key: Any) -> None:
    """Write the key alone."""
    (folder / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "key").chmod(0o600)


def complaints(folder: Path) -> list[str]:
    """Return all that is wrong with the pair in *folder*."""
    config = read_config(json.dumps({"receipts": PAIR}), "ftpsd.yaml", folder)
    found, errors = read_signing_files(config)
    assert (found is None) == any(error.severity == "error" for error in errors)
    return [str(error) for error in errors]


def usage(*, signs: bool) -> x509.KeyUsage:
    """Return a key usage."""
    return x509.KeyUsage(signs, False, not signs, False, False, False, False, False, False)


def test_the_pair_is_judged_as_partners_will(tmp_path: Path) -> None:
    """A certificate that openssl of partners would refuse is an error before it is served."""
    assert all("cannot be read" in line for line in complaints(tmp_path))
    server, mail = ([ExtendedKeyUsageOID.SERVER_AUTH], [ExtendedKeyUsageOID.EMAIL_PROTECTION])
    table: list[tuple[dict[str, Any], str | None]] = [
        ({}, None),
        ({"extensions": (usage(signs=True), x509.ExtendedKeyUsage(mail))}, None),
        ({"days": 10}, "expires on"),
        ({"days": -1}, "expired on"),
        ({"extensions": (usage(signs=False),)}, "is not for signatures"),
        ({"extensions": (x509.ExtendedKeyUsage(server),)}, "without emailProtection"),
        ({"key": ed25519.Ed25519PrivateKey.generate()}, "no RSA or EC key"),
    ]
    for keys, words in table:
        make(tmp_path, **keys)
        found = complaints(tmp_path)
        assert (len(found) == 1 and words in found[0]) if words else found == [], (keys, found)
    make(tmp_path)
    (tmp_path / "key").chmod(0o604)
    assert "is open to others" in complaints(tmp_path)[0]
    write_key(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    assert "is not the key of the certificate" in complaints(tmp_path)[0]
    (tmp_path / "key").write_text("-")
    assert "holds no private key" in complaints(tmp_path)[0]
    make(tmp_path)
    (tmp_path / "pem").write_text("-")
    assert "holds no certificate" in complaints(tmp_path)[0]


def users_of(folder: Path, user: dict[str, Any], **roles: Any) -> Users:
    """Return a users file with one user."""
    text = json.dumps({"roles": roles, "users": {"acme": {"home": str(folder), **user}}})
    return read_users(text, "users.yaml", folder)


def test_what_receipts_of_users_need(tmp_path: Path) -> None:
    """A signer, the events they are made of, sums, and a directory that no mount takes."""
    users = users_of(tmp_path, {"receipts": {}})

    def told(**keys: Any) -> list[str]:
        config = read_config(json.dumps({"receipts": PAIR, "events": EVENTS, **keys}), "ftpsd.yaml", tmp_path)
        return [str(error) for error in look_at_receipts(config, [users])]

    assert told() == []
    assert "write the section `receipts`" in told(receipts=None)[0]
    assert "write file-sent in events.record" in told(events={})[0]
    assert len(told(events=None)) == 2
    assert "audit.sha256: true" in told(audit={"sha256": False})[0]
    users = users_of(tmp_path, {"receipts": {"of": ["uploads"]}})
    assert told(events={}) == []
    users = users_of(tmp_path, {"receipts": {}, "mounts": [{"path": "/receipts/x", "directory": str(tmp_path)}]})
    assert "name another receipts.directory" in told()[0]
    wrongs: list[dict[str, Any]] = [{"directory": "/a/b"}, {"directory": "/*"}, {"directory": "/"}]
    for wrong in (*wrongs, {"of": ["all"]}, {"most": 0}):
        with pytest.raises(ConfigErrors):
            users_of(tmp_path, {"receipts": wrong})


def test_the_rule_of_receipts_goes_before_all_others(tmp_path: Path) -> None:
    """Whatever the user may else; `ftpsd explain` and `ftpsd user show` know where that is written."""
    role = {"receipts": {"directory": "/proof"}, "rules": [{"path": "/**", "allow": "all"}]}
    rules = [{"path": "/**", "allow": ["list"]}]
    without = users_of(tmp_path, {"role": "partner", "receipts": {"of": []}}, partner=role)
    assert without.users["acme"].receipts is None
    assert len(Provenance(without).rules("acme")) == len(without.users["acme"].rules or ()) == 1
    for users, count in (
        (users_of(tmp_path, {"receipts": {"directory": "/proof"}}), 2),
        (users_of(tmp_path, {"role": "partner"}, partner=role), 2),
        (users_of(tmp_path, {"role": "partner", "rules": None}, partner=role), 2),
        (users_of(tmp_path, {"receipts": {"directory": "/proof"}, "rules": rules}), 2),
    ):
        user = users.users["acme"]
        for path in ("/proof", "/proof/x.eml"):
            place = VirtualPath.parse(path)
            assert explain(user, Permission.READ, place).is_allowed
            for change in CHANGES:
                answer = explain(user, change, place)
                assert not answer.is_allowed, (change, path)
                assert "receipts: they are the server's" in answer.reason
        assert "receipts" not in explain(user, Permission.LIST, VirtualPath.parse("/proofs")).reason
        assert len(Provenance(users).rules("acme")) == len(user.rules or ()) == count
