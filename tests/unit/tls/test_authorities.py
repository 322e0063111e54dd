"""The authorities that vouch for a client's certificate, by OpenSSL, with revocation lists of every kind."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL.crypto import X509

from ftpsd.tls.certificates import CertificateError
from ftpsd.tls.clients.authorities import Authorities
from ftpsd.tls.clients.intermediates import MOST, Intermediates
from ftpsd.tls.clients.presented import MOST_NAMES, described
from ftpsd.values.login.client_certificate import CertificateFault
from tests.clientpki import DAY, ClientAuthority, Identity


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> ClientAuthority:
    """An authority with an intermediate one."""
    return ClientAuthority(tmp_path_factory.mktemp("pki"))


def fault(
    authorities: Authorities, identity: Identity, pki: ClientAuthority, *, with_chain: bool = True
) -> CertificateFault | None:
    """Return the verdict on *identity*, sent with the certificate of the intermediate authority or without."""
    chain = [X509.from_cryptography(pki.intermediate.certificate)] if with_chain else []
    return authorities.fault(X509.from_cryptography(identity.certificate), chain)


def test_each_certificate_in_the_file_is_trusted(pki: ClientAuthority, tmp_path: Path) -> None:
    """The root, or the issuing authority alone; without the chain between, nobody vouches."""
    alice, root = pki.issue("alice"), Authorities.load(pki.file, None)
    assert fault(root, alice, pki) is None
    assert fault(root, alice, pki, with_chain=False) is CertificateFault.UNKNOWN_AUTHORITY
    issuing = tmp_path / "issuing.pem"
    issuing.write_bytes(pki.intermediate.certificate.public_bytes(Encoding.PEM))
    assert fault(Authorities.load(issuing, None), alice, pki, with_chain=False) is None


def test_what_is_wrong_is_told_apart(pki: ClientAuthority, tmp_path: Path) -> None:
    """Expired, of a stranger, self-signed, for servers, an authority that has ended."""
    root = Authorities.load(pki.file, None)
    assert fault(root, pki.issue("old", until=-DAY), pki) is CertificateFault.EXPIRED
    assert fault(root, pki.issue("own", is_self_signed=True), pki) is CertificateFault.UNKNOWN_AUTHORITY
    assert fault(root, pki.issue("srv", purpose=ExtendedKeyUsageOID.SERVER_AUTH), pki) is CertificateFault.UNUSABLE
    stranger = ClientAuthority(tmp_path / "strangers").issue("alice")
    assert fault(root, stranger, pki) in (CertificateFault.UNKNOWN_AUTHORITY, CertificateFault.UNUSABLE)


def test_a_list_of_the_issuer_has_to_be_there_and_in_force(pki: ClientAuthority) -> None:
    """The root's list is looked at where there is one, and the intermediate authority is on it or not."""
    alice, direct = pki.issue("alice"), pki.issue("direct", is_direct=True)
    pki.write_list(has_root=False)
    only_issuing = Authorities.load(pki.file, pki.crl)
    assert fault(only_issuing, alice, pki) is None
    assert fault(only_issuing, direct, pki) is CertificateFault.NO_CURRENT_LIST
    pki.write_list()
    both = Authorities.load(pki.file, pki.crl)
    assert [fault(both, each, pki) for each in (alice, direct)] == [None, None]
    pki.write_list(until=timedelta(seconds=-1))
    assert fault(Authorities.load(pki.file, pki.crl), alice, pki) is CertificateFault.NO_CURRENT_LIST
    assert fault(Authorities.load(pki.file, None), alice, pki) is None


def test_revoked_ones_and_those_of_a_revoked_authority_are_refused(tmp_path: Path) -> None:
    """A list in DER is read too."""
    pki = ClientAuthority(tmp_path)
    alice, lost = pki.issue("alice"), pki.issue("lost")
    pki.revoke(lost)
    pki.write_list()
    found = Authorities.load(pki.file, pki.crl)
    assert [fault(found, each, pki) for each in (alice, lost)] == [None, CertificateFault.REVOKED]
    pki.revoke(pki.intermediate)
    pki.write_list()
    assert fault(Authorities.load(pki.file, pki.crl), alice, pki) is CertificateFault.REVOKED
    der = tmp_path / "root.crl"
    der.write_bytes(x509.load_pem_x509_crl(pki.crl.read_bytes()).public_bytes(Encoding.DER))
    assert len(Authorities.load(pki.file, der).lists) == 1


def test_processes_get_equal_ones(pki: ClientAuthority) -> None:
    """As the supervisor hands them over."""
    pki.write_list()
    found = Authorities.load(pki.file, pki.crl)
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert fault(again, pki.issue("alice"), pki) is None


def test_files_that_cannot_be_used_are_named(pki: ClientAuthority, tmp_path: Path) -> None:
    """In one sentence."""
    junk = tmp_path / "junk"
    junk.write_text("nothing")
    for files, word in (
        ((junk, None), "holds no PEM certificate"),
        ((pki.file, junk), "holds no revocation list"),
        ((tmp_path / "absent", None), "cannot be read"),
        ((pki.file, tmp_path / "absent"), "cannot be read"),
    ):
        with pytest.raises(CertificateError, match=word):
            Authorities.load(*files)


def test_the_operator_is_warned_of_what_has_ended(pki: ClientAuthority, tmp_path: Path) -> None:
    """Authorities and lists, and lists of nobody."""
    pki.write_list()
    found = Authorities.load(pki.file, pki.crl)
    # The issuing authority is not in the file, and the list of it is.
    assert [word for word in ("of none of the authorities",) if word in " ".join(found.doubts_about_lists())]
    later = datetime.now(UTC) + 3 * DAY
    assert ["expired on" in each for each in found.doubts(later)] == [True]
    assert sum("was to be replaced by" in each for each in found.doubts_about_lists(later)) == 2
    assert list(found.doubts()) == []


def test_chains_are_kept_in_bounds() -> None:
    """The ones used last; an empty chain is not worth a place."""
    kept = Intermediates()
    chain = (X509(),)
    kept.keep("first", chain)
    for number in range(MOST):
        kept.keep(str(number), chain)
        kept.keep("first", chain)
    kept.keep("empty", ())
    assert len(kept) == MOST
    assert (kept.get("first"), kept.get("0"), kept.get("empty")) == (chain, (), ())


def test_what_a_client_writes_into_its_certificate_is_cut(pki: ClientAuthority) -> None:
    """A thousand names are a hundred, and names of other kinds are none."""
    names = [x509.DNSName(f"n{number}.example") for number in range(1000)]
    found = described(pki.issue("many", *names).certificate, None)
    assert len(found.names) == MOST_NAMES
    hostile = described(pki.issue("a\x1b]0;b\x9b\u202e" + "c" * 30).certificate, None)
    assert hostile.subject == "CN=a?]0\\;b??" + "c" * 30
    assert described(pki.issue("none", x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))).certificate, None).names == ()
