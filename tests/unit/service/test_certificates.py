"""Every certificate of a configuration, and the hosts that are built with them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.service.daemon import Daemon
from ftpsd.service.load import load
from tests.hosts import authority, issue
from tests.unit.service.site import Site, serving

A, B = "a.example.test", "b.example.test"


class HostSite(Site):
    """A site with one more name and two virtual hosts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name in (A, B):
            issue(folder / "tls", name)
        (folder / "b-home").mkdir()
        (folder / "b.yaml").write_text(f"users: {{carol: {{home: {folder}/b-home}}}}\n")
        (folder / "b.yaml").chmod(0o600)
        self.replace("  private_key: tls/server-key.pem\n", "  private_key: tls/server-key.pem\n" + self.names(A))
        self.hosts(self.host(B, own=True), self.host("localhost"))

    def names(self, *names: str) -> str:
        """Return the lines of one more certificate."""
        return f"  server_names:\n    - {{names: [{', '.join(names)}], {self.pair(A)}}}\n"

    def pair(self, name: str) -> str:
        return f"certificate: tls/{name}.pem, private_key: tls/{name}-key.pem"

    def host(self, name: str, *, own: bool = False) -> str:
        """Return the entry of a virtual host."""
        return f"{{names: [{name}], users: b.yaml{', ' + self.pair(name) if own else ''}}}"

    def hosts(self, *entries: str) -> None:
        """Set the virtual hosts."""
        text = self.path.read_text().partition("virtual_hosts:")[0]
        self.path.write_text(text + "virtual_hosts:\n" + "".join(f"  - {entry}\n" for entry in entries))


@pytest.fixture
def site(tmp_path: Path) -> HostSite:
    """A good configuration."""
    return HostSite(tmp_path)


@pytest.fixture
def running(site: HostSite) -> Iterator[tuple[Daemon, Any]]:
    """A daemon that serves it."""
    with serving(site) as (daemon, reactor, _events):
        yield daemon, reactor


def reload(daemon: Daemon, reactor: Any) -> None:
    over: list[object] = []
    daemon.reloader.reload().addBoth(over.append)
    reactor.run_until(lambda: bool(over))


def complaints(site: Site) -> list[str]:
    with pytest.raises(ConfigErrors) as problem:
        load(site.path)
    return [str(error).replace(f"{site.folder}/", "") for error in problem.value.errors]


def warnings(site: Site) -> list[str]:
    return [str(warning).replace(f"{site.folder}/", "") for warning in load(site.path).warnings]


def test_a_good_site(site: HostSite) -> None:
    """Every pair is loaded, every users file read."""
    loaded = load(site.path)
    assert set(loaded.certificates.pairs) == {("tls",), ("tls", "server_names", 0), ("virtual_hosts", 0)}
    assert [list(users.users) for users in loaded.hosts] == [["carol"], ["carol"]]
    assert warnings(site) == []


def test_what_names_stand_for(running: tuple[Daemon, Any]) -> None:
    """More names of the default host, hosts with and without a certificate of their own."""
    hosts = running[0].serving.runtime.hosts
    also, own, shared = hosts.find(A), hosts.find(B), hosts.find("localhost")
    assert also is not None
    assert own is not None
    assert shared is not None
    assert (also.host, own.host.name, shared.host.name) == (hosts.default, B, "localhost")
    assert own.certificate is own.host.certificate
    assert (shared.certificate, shared.host.certificate) == (hosts.default.certificate, None)


def test_metrics_of_every_certificate(running: tuple[Daemon, Any]) -> None:
    """By the first name of each."""
    registry = running[0].parts.registry
    for name in ("default", A, B):
        value = registry.get_sample_value("ftpsd_tls_certificate_not_after_timestamp_seconds", {"name": name})
        assert value is not None
        assert value > datetime.now(UTC).timestamp()


@pytest.mark.parametrize("section", ["tls.server_names[0]", "virtual_hosts[0]"])
@pytest.mark.parametrize("kind", ["certificate", "private_key"])
def test_a_missing_file(site: HostSite, section: str, kind: str) -> None:
    """The complaint stands at the key that names it."""
    name = A if section.startswith("tls") else B
    (site.folder / "tls" / f"{name}{'' if kind == 'certificate' else '-key'}.pem").unlink()
    (complaint,) = complaints(site)
    assert f": {section}.{kind}: " in complaint
    assert "does not exist" in complaint


def test_a_second_pair_of_a_kind(site: HostSite) -> None:
    """It is never shown, and `ftpsd check` says so; one for other names leaves some clients without theirs."""
    site.write("".join(site.path.read_text().partition("virtual_hosts:")[1:]))
    issue(site.folder / "tls", "localhost", "127.0.0.1", "::1", kind=trustme.KeyType.RSA)
    site.replace(
        "  private_key: tls/server-key.pem\n", f"  private_key: tls/server-key.pem\n  also: [{{{site.pair(A)}}}]\n"
    )
    (never, other) = warnings(site)
    assert ": tls.also[0].certificate: never shown: a pair with an ECDSA key stands before it" in never
    assert f": tls.also[0].certificate: it is for {A}, the one that it stands beside for localhost" in other
    site.replace(f"also: [{{{site.pair(A)}}}]", f"also: [{{{site.pair('localhost-rsa')}}}]")
    assert warnings(site) == []
    main = load(site.path).certificates.main
    assert main is not None
    assert [pair.kind for pair in main.all] == ["ECDSA", "RSA"]


def test_a_second_pair_that_is_broken(site: HostSite) -> None:
    """It keeps the server from starting as every pair does, at its own key; and none stands beside nothing."""
    site.replace(
        "  private_key: tls/server-key.pem\n",
        "  private_key: tls/server-key.pem\n  also: [{certificate: tls/no.pem, private_key: tls/no.pem}]\n",
    )
    assert [": tls.also[0].certificate: " in complaint for complaint in complaints(site)] == [True, False]
    site.replace("  also: [{certificate: tls/no.pem, private_key: tls/no.pem}]\n", "")
    site.hosts(f"{{names: [{B}], users: b.yaml, also: [{{{site.pair(A)}}}]}}")
    (complaint,) = complaints(site)
    assert ": virtual_hosts[0].also: stands beside a certificate of the host's own" in complaint


def test_a_key_of_another_certificate(site: HostSite) -> None:
    """Each pair is checked together, and one bad pair keeps all others from being taken over."""
    (site.folder / "tls" / f"{B}-key.pem").write_bytes((site.folder / "tls" / f"{A}-key.pem").read_bytes())
    (complaint,) = complaints(site)
    assert ": virtual_hosts[0].certificate: " in complaint
    assert "is not the private key" in complaint


def test_a_name_the_certificate_does_not_hold(site: HostSite) -> None:
    """A warning with the name and what the certificate is for, also where it is the main one."""
    site.hosts(f"{{names: [c.example.test, {B}], users: b.yaml, {site.pair(B)}}}", site.host("d.example.test"))
    assert [warning.partition("virtual_hosts")[2] for warning in warnings(site)] == [
        f"[0].names[0]: clients will refuse the certificate for c.example.test: it is for {B}; "
        "get one that names it too",
        "[1].names[0]: clients will refuse the certificate for d.example.test: it is for localhost, 127.0.0.1, ::1; "
        "get one that names it too",
    ]


def test_a_certificate_that_ends_soon(site: HostSite) -> None:
    """The same warning for every pair."""
    issued = authority().issue_cert(B, not_after=datetime.now(UTC) + timedelta(days=5))
    chain = (*issued.cert_chain_pems, authority().cert_pem)
    (site.folder / "tls" / f"{B}.pem").write_bytes(b"".join(blob.bytes() for blob in chain))
    (site.folder / "tls" / f"{B}-key.pem").write_bytes(issued.private_key_pem.bytes())
    (warning,) = warnings(site)
    assert "virtual_hosts[0].certificate: valid only until" in warning


def test_the_users_of_a_host_are_checked(site: HostSite) -> None:
    """Homes and modes, once for a file that two hosts name; a home that is missing keeps nobody else out."""
    (site.folder / "b-home").rmdir()
    (warning,) = warnings(site)
    assert "warning: users.carol.home: " in warning
    (site.folder / "b.yaml").chmod(0o622)
    found = complaints(site)
    assert [complaint.split(": ")[1] for complaint in found] == ["virtual_hosts[0].users", "virtual_hosts[1].users"]


def test_names_need_the_main_certificate(site: HostSite) -> None:
    """A client that asks for none of them has to be shown something, also where nobody is asked for TLS."""
    site.replace("tls:\n", "tls:\n  require: none\n")
    site.replace("  - {mode: implicit, address: 127.0.0.1, port: 2990}\n", "")
    (site.folder / "tls" / "server.pem").unlink()
    (complaint,) = complaints(site)
    assert ": tls.certificate: " in complaint


def test_a_reload_adds_and_removes_hosts(site: HostSite, running: tuple[Daemon, Any]) -> None:
    """New sessions know the new ones; the Runtime that running sessions have does not change."""
    daemon, reactor = running
    before = daemon.serving.runtime
    issue(site.folder / "tls", "c.example.test")
    site.hosts(site.host("c.example.test", own=True))
    reload(daemon, reactor)
    after = daemon.serving.runtime.hosts
    assert (after.find(B), after.find("localhost")) == (None, None)
    assert after.find("c.example.test") is not None
    assert before.hosts.find(B) is not None


def test_a_reload_takes_renewed_certificates(site: HostSite, running: tuple[Daemon, Any]) -> None:
    """All pairs are read anew."""
    daemon, reactor = running
    before = daemon.serving.runtime.hosts.certificates
    for name in (A, B):
        issue(site.folder / "tls", name)
    reload(daemon, reactor)
    after = daemon.serving.runtime.hosts.certificates
    assert after["default"].fingerprint == before["default"].fingerprint
    assert all(after[name].fingerprint != before[name].fingerprint for name in (A, B))


def test_one_bad_pair_keeps_all(site: HostSite, running: tuple[Daemon, Any]) -> None:
    """Nothing is half replaced."""
    daemon, reactor = running
    before = daemon.serving.runtime
    issue(site.folder / "tls", A)
    (site.folder / "tls" / f"{B}.pem").write_bytes(b"nonsense")
    reload(daemon, reactor)
    assert daemon.serving.runtime is before


def test_the_same_files_are_one_certificate(site: HostSite, running: tuple[Daemon, Any]) -> None:
    """A host that names the main pair's files shares it: sessions may move there."""
    daemon, reactor = running
    site.hosts("{names: [localhost], users: b.yaml, certificate: tls/server.pem, private_key: tls/server-key.pem}")
    reload(daemon, reactor)
    named = daemon.serving.runtime.hosts.find("localhost")
    assert named is not None
    assert (named.host.certificate, named.certificate) == (None, daemon.serving.runtime.certificate)
