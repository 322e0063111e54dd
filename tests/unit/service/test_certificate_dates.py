"""How loud the server is about certificates out of their dates, and what starts, reloads and renewals make of them."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ftpsd.audit.events import Event
from ftpsd.audit.topics.certificate_events import CertificateOutOfDate, CertificatesInDate
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.service.changing.certificate_dates import AGAIN, CertificateDates
from ftpsd.service.inspecting.inspection import inspect
from ftpsd.service.load import Loaded, load
from ftpsd.service.outside import systemd
from ftpsd.tls.served.validity import utc_now
from tests.hosts import IssuedFiles, issue
from tests.unit.service.site import Site

SERVE = "expired_certificate: serve\n"
NAME = "ftp.example.test"


class DatedSite(Site):
    """A site whose certificate can be replaced."""

    def put(self, *days: int) -> IssuedFiles:
        """Put a certificate there that is valid from so many *days* on to so many."""
        files = issue(self.folder, NAME, days=(days[0], days[1]))
        for file, name in ((files.certificate, "server"), (files.private_key, "server-key")):
            file.rename(self.folder / "tls" / f"{name}.pem")
        return files

    def complaints(self) -> str:
        """Return why it is not served."""
        with pytest.raises(ConfigErrors) as caught:
            load(self.path)
        return str(caught.value)


@pytest.fixture
def site(tmp_path: Path) -> DatedSite:
    """A good configuration."""
    return DatedSite(tmp_path)


def warnings(loaded: Loaded) -> str:
    """Return the complaints about certificates that are served."""
    return " ".join(str(each) for each in loaded.warnings if "certificate" in each.key)


def test_what_is_loaded(site: DatedSite) -> None:
    """A start refuses it, a reload only where it is new; where it is to be served, both warn."""
    for days, said in (((-9, -1), "expired on "), ((1, 9), "is not valid before ")):
        site.put(*days)
        assert said in site.complaints()
        assert "renew it, or set expired_certificate: serve" in site.complaints()
        site.write(SERVE)
        served = load(site.path)
        assert said in warnings(served)
        assert "served nevertheless" in warnings(served)
        site.write()
        assert "clients are refused" in warnings(load(site.path, served.certificates.fingerprints))
        assert site.complaints()


def test_one_of_several(site: DatedSite) -> None:
    """A start goes on for the names of the others, `ftpsd check` says no, a reload does not take it for a good one."""
    other = site.folder / "other"
    other.mkdir()

    def name(*days: int) -> None:
        """Put a certificate there for the name alone."""
        issue(other, NAME, days=(days[0], days[1]))

    site.put(-9, 9)
    name(-9, 9)
    names = f"  server_names: [{{names: [{NAME}], certificate: other/{NAME}.pem, private_key: other/{NAME}-key.pem}}]"
    key = "  private_key: tls/server-key.pem\n"
    site.replace(key, f"{key}{names}\n")
    before = load(site.path).certificates.fingerprints
    name(-9, -1)
    served = load(site.path)
    assert "expired on" in warnings(served)
    assert served.certificates.pairs["tls", "server_names", 0].not_after < utc_now()
    assert [each.severity for each in inspect(site.path).complaints if "server_names" in each.key] == ["error"]
    assert "clients are refused" in warnings(load(site.path, served.certificates.fingerprints))
    with pytest.raises(ConfigErrors, match="expired on"):
        load(site.path, before)
    # Whichever of them it is.
    site.put(-9, -1)
    assert site.complaints().count("expired on") == 2
    name(-9, 9)
    assert "expired on" in warnings(load(site.path))


def test_an_expired_intermediate_is_told(site: DatedSite) -> None:
    """It is a warning, whatever is said of the server's own: chains have expired ones on purpose."""
    site.put(-9, 9)
    old = issue(site.folder, "old.example.test", days=(-9, -1)).certificate.read_text()
    with (site.folder / "tls" / "server.pem").open("a") as chain:
        chain.write(old)
    assert "behind it expired on" in warnings(load(site.path))


def test_what_is_told(site: DatedSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment and every day in log and audit log, all the time in the status; and once when it is over."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        site.put(-9, 9)
        loaded = load(site.path)
        pair = loaded.certificate
        assert pair is not None
        told: list[Event] = []
        now, clock = [pair.not_after - timedelta(seconds=1)], [0.0]
        dates = CertificateDates(told.append, lambda: clock[0], lambda: now[0])
        systemd.notify_status("serving implicit:990")
        dates.look(loaded)
        assert told == []
        now[0] = pair.not_after
        for seconds, count in ((1.0, 1), (2.0, 1), (AGAIN, 1), (AGAIN + 1, 2), (AGAIN + 2, 2)):
            clock[0] = seconds
            dates.look(loaded)
            assert len(told) == count, seconds
        (event, _) = told
        assert isinstance(event, CertificateOutOfDate)
        assert (event.certificate, event.names, event.result) == (pair.fingerprint, NAME, "refused")
        # What happens with it is news, too.
        serving = replace(loaded, config=loaded.config.model_copy(update={"expired_certificate": "serve"}))
        dates.look(serving)
        assert isinstance(told[-1], CertificateOutOfDate)
        assert (len(told), told[-1].result) == (3, "served")
        systemd.notify_status("serving implicit:990")
        now[0] = pair.not_after - timedelta(seconds=1)
        dates.look(serving)
        assert isinstance(told[-1], CertificatesInDate)
        dates.look(serving)
        assert len(told) == 4
        said = [manager.recv(1000).decode() for _ in range(5)]
        assert said[0] == said[4] == "STATUS=serving implicit:990"
        assert [each.rpartition(": ")[2] for each in said[1:4]] == ["refused", "served", "served"]
        assert all(f"; the certificate for {NAME} expired on " in each for each in said[1:4])
