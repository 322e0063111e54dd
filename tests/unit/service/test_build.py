"""From files to a configuration that can be served: everything that is wrong, each with its place."""

from __future__ import annotations

import gc
import os
import shutil
from pathlib import Path

import pytest
from twisted.logger import capturedLogs, formatEvent

from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.demo.authority import create
from ftpsd.service.building.upload_policy import tell_once
from ftpsd.service.daemon import Daemon
from ftpsd.service.load import load
from ftpsd.values.path import VirtualPath
from tests.tools import reachable_folder
from tests.unit.service.site import USERS, PortReactor, Site

NOBODY = 65534


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A good configuration."""
    return Site(tmp_path)


def complaints(site: Site) -> list[str]:
    """Return what load() says is wrong."""
    with pytest.raises(ConfigErrors) as problem:
        load(site.path)
    return [str(error) for error in problem.value.errors]


def test_a_good_configuration(site: Site) -> None:
    """Configuration, users and certificate are read."""
    loaded = load(site.path)
    assert list(loaded.users.users) == ["alice"]
    assert loaded.certificate is not None
    assert loaded.certificate.names[0] == "localhost"


def test_places_in_the_users_file_are_not_kept(site: Site) -> None:
    """The parts that only complaints need are let go: with 10,000 users they are 70 MiB."""
    assert load(site.path).users.document is None


def test_cycles_are_looked_for_again_after_reading(site: Site) -> None:
    """Also when what was read is no good."""
    load(site.path)
    assert gc.isenabled()
    site.users.write_text("users: 1")
    complaints(site)
    assert gc.isenabled()


def test_reading_leaves_no_cycles(site: Site) -> None:
    """They would hold all that was read, 300,000 objects with 10,000 users, until they are looked for, for 0.1 s."""
    rules = "rules: [{path: '/in/**', allow: [list, upload]}, {path: /, allow: [list]}]"
    for number in range(200):
        home = site.folder / f"home{number}"
        home.mkdir()
        with site.users.open("a") as file:
            file.write(f"  user{number}: {{home: {home}, {rules}}}\n")
    load(site.path)
    gc.collect()
    gc.disable()
    try:
        load(site.path)
        assert gc.collect() < 200
    finally:
        gc.enable()


def test_words_for_logs_that_do_not_go_together(site: Site) -> None:
    """Events that there are not, with the one that was meant, and forms that evidence and the journal do not have."""
    table = {
        "log: a.jsonl\n  events: [-comand]": "audit.events[0]: there is no event comand; did you mean command? ",
        "log: journal\n  format: text": "audit.format: the journal has fields and the text for people; remove this",
        "log: journal\n  chain: {private_key: k}": "audit.chain: a chained log must be in a file; ",
        "log: a.jsonl\n  format: text\n  chain: {private_key: k}": "audit.format: a chained log has JSON lines; ",
        "log: a.jsonl\n  xferlog: a.jsonl": "audit.xferlog: that is the audit log; name another file",
    }
    text = site.path.read_text()
    for words, complaint in table.items():
        site.path.write_text(text.replace(f"log: {site.folder}/audit.log", words))
        assert any(complaint in line for line in complaints(site)), words


@pytest.mark.parametrize("name", ["server.pem", "server-key.pem"])
def test_a_certificate_that_is_missing(site: Site, name: str) -> None:
    """The complaint stands at the key that names it."""
    (site.folder / "tls" / name).unlink()
    key = "tls.certificate" if name == "server.pem" else "tls.private_key"
    (complaint,) = complaints(site)
    assert complaint.startswith(f"{site.path}:{'5:16' if name == 'server.pem' else '6:16'}: {key}: ")
    assert name in complaint


def test_a_key_of_another_certificate(site: Site) -> None:
    """The pair is checked together, at the certificate's key."""
    other = create(site.folder / "other")
    shutil.copy(other.private_key, site.folder / "tls" / "server-key.pem")
    (complaint,) = complaints(site)
    assert complaint.startswith(f"{site.path}:5:16: tls.certificate: ")
    assert "is not the private key of the certificate" in complaint


def test_a_home_that_is_missing(site: Site) -> None:
    """A warning with the place in users.yaml and the command to run: the other users are served."""
    (site.folder / "home").rmdir()
    (warning,) = load(site.path).warnings
    assert str(warning).startswith(f"{site.users}:3:11: warning: users.alice.home: ")
    assert "mkdir -p" in str(warning)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be somebody else for a while")
def test_a_home_that_is_closed_to_the_daemon() -> None:
    """The start warns of it, as the daemon's user: without that logins work and listings fail."""
    with reachable_folder() as folder:
        site = Site(folder)
        (folder / "home").chmod(0o711)
        for name in ("users.yaml", "tls/server-key.pem"):
            os.chown(folder / name, NOBODY, NOBODY)
        (folder / "tls").chmod(0o755)
        os.seteuid(NOBODY)
        try:
            (warning,) = load(site.path).warnings
        finally:
            os.seteuid(0)
        assert str(warning).startswith(f"{site.users}:3:11: warning: users.alice.home: {folder}/home cannot be listed")


def test_a_missing_home_of_a_disabled_user(site: Site) -> None:
    """The same."""
    (site.folder / "home").rmdir()
    site.write_users(USERS.format(home=site.folder / "home") + "    enabled: false\n")
    assert len(load(site.path).warnings) == 1


def test_users_that_are_missing(site: Site) -> None:
    """At the key that names the file."""
    site.users.unlink()
    (complaint,) = complaints(site)
    assert complaint.startswith(f"{site.path}:7:8: users: ")


def test_everything_at_once(site: Site) -> None:
    """An operator mends all of it in one go."""
    (site.folder / "tls" / "server.pem").unlink()
    site.write_users(USERS.format(home=site.folder / "home") + "    enabled: perhaps\n")
    assert len(complaints(site)) == 2


def test_no_certificate_where_none_is_needed(site: Site) -> None:
    """A server in clear starts without."""
    shutil.rmtree(site.folder / "tls")
    site.replace("  - {mode: implicit, address: 127.0.0.1, port: 2990}\n", "")
    site.replace("private_key: tls/server-key.pem", "private_key: tls/server-key.pem\n  require: none")
    assert load(site.path).certificate is None


def test_an_implicit_listener_needs_a_certificate(site: Site) -> None:
    """It needs one whatever the policy says."""
    shutil.rmtree(site.folder / "tls")
    site.replace("private_key: tls/server-key.pem", "private_key: tls/server-key.pem\n  require: none")
    assert all(": tls." in complaint for complaint in complaints(site))


def test_a_missing_file(tmp_path: Path) -> None:
    """ConfigErrors too, with its name."""
    with pytest.raises(ConfigErrors, match="absent"):
        load(tmp_path / "absent.yaml")


def test_a_runtime_follows_its_configuration(site: Site) -> None:
    """Timeouts and modes arrive where they are used."""
    site.write("active: {enabled: false}\nlimits: {data_connect_timeout: 7s, handshake_timeout: 8s}")
    loaded = load(site.path)
    reactor = PortReactor()
    daemon = Daemon(loaded, site.path, reactor)
    data = daemon.serving.runtime.data
    assert (data.dialer, data.connect_timeout, data.handshake_timeout) == (None, 7.0, 8.0)
    assert daemon.serving.runtime.certificate is loaded.certificate
    assert daemon.parts.ports.range == range(3000, 3051)


def test_what_new_versions_do_not_keep_is_logged_once() -> None:
    """Each thing for the first upload, however many follow."""
    with capturedLogs() as events:
        tell = tell_once()
        for number in range(3):
            tell("group", VirtualPath((f"file-{number}",)))
            tell("ACL", VirtualPath(("other",)))
    assert [formatEvent(event) for event in events] == [
        f"an upload over {path} could not keep the file's {what}; further ones are not logged"
        for path, what in (("/file-0", "group"), ("/other", "ACL"))
    ]
