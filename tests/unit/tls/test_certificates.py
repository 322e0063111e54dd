"""A certificate and its key, checked together."""

from __future__ import annotations

import gc
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey

from ftpsd.tls import native
from ftpsd.tls.certificates import MAX_FILE, CertificateError, CertificatePair, PrivateKey

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Files:
    """A certificate and a key in a folder, good as they are."""

    def __init__(self, folder: Path) -> None:
        self.certificate = folder / "fullchain.pem"
        self.key = folder / "privkey.pem"
        self.private: PrivateKey = ec.generate_private_key(ec.SECP256R1())
        self.certificate.write_bytes(certificate_for(self.private))
        self.key.write_bytes(pem(self.private))

    def load(self, now: datetime = NOW) -> CertificatePair:
        return CertificatePair.load(self.certificate, self.key, now=now)

    def complaint(self, now: datetime = NOW) -> str:
        """Return the error of loading, which is one sentence without a line of any PEM file in it."""
        with pytest.raises(CertificateError) as caught:
            self.load(now)
        text = str(caught.value)
        assert re.fullmatch(r"/[^\n]+\.", text)
        secret = self.key.read_bytes().decode("ascii", "replace").splitlines() if self.key.is_file() else []
        assert not [line for line in secret if line and line in text]
        return text.replace(f"{self.certificate.parent}/", "")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A good pair to spoil."""
    return Files(tmp_path)


def certificate_for(
    key: PrivateKey, *, begin: datetime = NOW - timedelta(days=1), end: datetime = NOW + timedelta(days=1)
) -> bytes:
    """Make a self-signed certificate in PEM."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ftp.example.com")])
    names = [x509.DNSName("ftp.example.com"), x509.DNSName("*.example.org")]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256())
        .public_bytes(Encoding.PEM)
    )


def with_intermediate(folder: Path) -> CertificatePair:
    """Make a pair whose certificate an intermediate authority has signed."""
    issued = trustme.CA().create_child_ca().issue_cert("localhost")
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return CertificatePair.load(chain, key)


def pem(key: PrivateKey | dsa.DSAPrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    """Write a key in clear."""
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["rsa", "ecdsa", "ed25519"],
)
def test_kinds_of_key(files: Files, key: PrivateKey) -> None:
    """RSA, ECDSA and Ed25519 pairs load."""
    files.certificate.write_bytes(certificate_for(key))
    files.key.write_bytes(pem(key))
    assert len(files.load().chain) == 1


def test_traditional_key_format(files: Files) -> None:
    """A key as `openssl ecparam` writes it, parameters first, loads."""
    files.key.write_bytes(
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        + pem(files.private, PrivateFormat.TraditionalOpenSSL)
    )
    assert files.load().names


def test_one_file_for_both(files: Files) -> None:
    """Key and certificate in one file, as vsftpd and pure-ftpd are given them, load in either order."""
    both = (files.certificate.read_bytes(), files.key.read_bytes())
    for order in (both, both[::-1]):
        files.certificate.write_bytes(b"".join(order))
        assert CertificatePair.load(files.certificate, files.certificate, now=NOW).names


def test_facts(files: Files) -> None:
    """A pair knows its names, its end and the fingerprint that openssl prints."""
    pair = files.load()
    assert pair.names == ("ftp.example.com", "*.example.org")
    assert pair.not_after == NOW + timedelta(days=1)
    assert pair.fingerprint == "sha256:" + pair.chain[0].fingerprint(SHA256()).hex()


def test_key_is_not_shown(files: Files) -> None:
    """The repr of a pair, which may end in a log, says nothing of the key."""
    text = repr(files.load())
    assert "key" not in text.lower()
    assert "_loaded" not in text


@pytest.mark.parametrize("is_shared", [True, False])
def test_chain_is_sent(tmp_path: Path, is_shared: bool) -> None:
    """A client gets the intermediate certificates behind the server's, shared or copied."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    pair = with_intermediate(tmp_path)
    assert pair._loaded.is_shared, "the usual way"
    replace(pair, _loaded=replace(pair._loaded, is_shared=is_shared)).install(context)
    assert _presented(context) == list(pair.chain)
    assert len(pair.chain) == 2


@pytest.mark.slow
def test_contexts_come_and_go(tmp_path: Path) -> None:
    """Each context lets go of its own references to the shared certificates and key, and of no more."""
    pair = with_intermediate(tmp_path)
    for _ in range(5):
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        pair.install(context)
        assert _presented(context) == list(pair.chain)
        del context
        gc.collect()


def test_a_pair_that_openssl_refuses_later(files: Files) -> None:
    """An error of its own, and nothing of it is left for whoever asks OpenSSL next."""
    first = files.load()
    other = ec.generate_private_key(ec.SECP256R1())
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    with pytest.raises(SSL.Error, match="refused"):
        native.share(context, X509.from_cryptography(first.chain[0]), (), PKey.from_cryptography_key(other))
    first.install(context)
    assert _presented(context) == list(first.chain)


def test_install_warns_of_nothing(files: Files, recwarn: pytest.WarningsRecorder) -> None:
    """Handing OpenSSL its own objects, which pyOpenSSL discourages, is our decision and no news to the operator."""
    files.load().install(SSL.Context(SSL.TLS_SERVER_METHOD))
    assert not recwarn.list


def test_missing_certificate(files: Files) -> None:
    """A file that is not there is named with the system's reason."""
    files.certificate.unlink()
    assert files.complaint() == "fullchain.pem: cannot be read (No such file or directory)."


def test_missing_key(files: Files) -> None:
    """So is a missing key."""
    files.key.unlink()
    assert files.complaint() == "privkey.pem: cannot be read (No such file or directory)."


def test_directory_instead_of_file(files: Files) -> None:
    """A directory is no certificate."""
    files.certificate.unlink()
    files.certificate.mkdir()
    assert files.complaint() == "fullchain.pem: cannot be read (Is a directory)."


def test_huge_file(files: Files) -> None:
    """A wrong path to something large is refused without reading it all."""
    files.certificate.write_bytes(b"x" * (MAX_FILE + 1))
    assert files.complaint() == "fullchain.pem: is too large to be a certificate or a key."


def test_not_pem(files: Files) -> None:
    """A certificate in DER form is not PEM."""
    files.certificate.write_bytes(files.load().chain[0].public_bytes(Encoding.DER))
    assert files.complaint() == "fullchain.pem: holds no PEM certificate."


def test_damaged_certificate(files: Files) -> None:
    """A truncated certificate is damaged."""
    lines = files.certificate.read_bytes().splitlines(keepends=True)
    files.certificate.write_bytes(b"".join([*lines[:3], lines[-1]]))
    assert files.complaint() == "fullchain.pem: a certificate in it is damaged."


def test_exchanged_files(files: Files) -> None:
    """Two paths exchanged in the configuration are told apart."""
    files.certificate, files.key = files.key, files.certificate
    assert files.complaint() == "privkey.pem: holds no PEM certificate."


def test_certificate_instead_of_key(files: Files) -> None:
    """A certificate given as the key is no key."""
    files.key.write_bytes(files.certificate.read_bytes())
    assert files.complaint() == "privkey.pem: holds no PEM private key."


def test_damaged_key(files: Files) -> None:
    """A truncated key is damaged, and none of it is quoted."""
    lines = files.key.read_bytes().splitlines(keepends=True)
    files.key.write_bytes(b"".join([*lines[:2], lines[-1]]))
    assert files.complaint() == "privkey.pem: the private key is damaged."


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_encrypted_key(files: Files, form: PrivateFormat) -> None:
    """A key under a passphrase is refused: nobody is there to type it."""
    files.key.write_bytes(files.private.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret")))
    assert files.complaint() == "privkey.pem: the private key is encrypted; ftpsd needs it without a passphrase."


def test_dsa_key(files: Files) -> None:
    """DSA, which TLS 1.3 no longer knows, is refused by name."""
    files.key.write_bytes(pem(dsa.generate_private_key(2048)))
    assert files.complaint() == "privkey.pem: the private key is neither RSA, ECDSA nor EdDSA."


def test_key_of_another_certificate(files: Files) -> None:
    """A pair that does not match names both files."""
    files.key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    assert files.complaint() == "privkey.pem: is not the private key of the certificate in fullchain.pem."


def test_key_of_another_kind(files: Files) -> None:
    """An RSA key does not match an ECDSA certificate."""
    files.key.write_bytes(pem(rsa.generate_private_key(65537, 2048)))
    assert files.complaint() == "privkey.pem: is not the private key of the certificate in fullchain.pem."


def test_chain_in_wrong_order(files: Files) -> None:
    """A chain that begins with the authority is told to begin with the server."""
    other = certificate_for(ec.generate_private_key(ec.SECP256R1()))
    files.certificate.write_bytes(other + files.certificate.read_bytes())
    assert files.complaint() == "fullchain.pem: the server's own certificate must come before those that sign it."


def test_expired(files: Files) -> None:
    """A certificate at the second of its end has expired."""
    assert files.complaint(NOW + timedelta(days=1)) == "fullchain.pem: the certificate expired on 2026-11-22 00:00 UTC."


def test_not_yet_valid(files: Files) -> None:
    """A certificate of tomorrow is not for today."""
    text = "fullchain.pem: the certificate is not valid before 2026-11-20 00:00 UTC."
    assert files.complaint(NOW - timedelta(days=2)) == text


def test_weak_key(files: Files) -> None:
    """A key that OpenSSL would refuse at the first handshake is refused when it is loaded."""
    key = rsa.generate_private_key(65537, 1024)
    files.certificate.write_bytes(certificate_for(key))
    files.key.write_bytes(pem(key))
    assert files.complaint() == "fullchain.pem and privkey.pem: OpenSSL refuses the pair (ee key too small)."


def test_now_is_the_default(files: Files) -> None:
    """Without a time given, the certificate must be valid now."""
    files.certificate.write_bytes(
        certificate_for(files.private, begin=datetime(1990, 1, 1, tzinfo=UTC), end=datetime(1990, 1, 2, tzinfo=UTC))
    )
    with pytest.raises(CertificateError, match="expired on 1990-01-02"):
        CertificatePair.load(files.certificate, files.key)


def _presented(context: SSL.Context) -> list[x509.Certificate]:
    """Return the chain that a server with *context* presents."""
    server, client = SSL.Connection(context, None), SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(3):
        for end, other in ((client, server), (server, client)):
            try:
                end.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(end.bio_read(65536))
            except SSL.WantReadError:
                pass
    return client.get_peer_cert_chain(as_cryptography=True) or []
