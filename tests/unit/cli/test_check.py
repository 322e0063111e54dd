"""`ftpsd check` on mistakes that used to pass: each is told at its place, with what to do."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ftpsd.cli.program import main
from ftpsd.service.load import load
from tests.e2e.forked import ftpsd
from tests.tools import reachable_folder
from tests.unit.service.site import Site

NOBODY = 65534
HASH = "$argon2id$v=19$m=65536,t=3,p=4$1GMBRhQPovXx1sBzeJsIqg$/6yTigNa9BVvIU7DM5nH7lygS+qhTpqrl1W6AaXWVYk"

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")

Change = Callable[[Site], None]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site in which nothing is wrong."""
    return Site(tmp_path)


def checked(site: Site, code: int = 0) -> list[str]:
    """Run `ftpsd check`, which has to end with *code*; return what it says on standard error, without the folder."""
    result = CliRunner().invoke(main, ["check", "--config", str(site.path)])
    assert result.exit_code == code, result.output
    return result.stderr.replace(f"{site.folder}/", "").splitlines()


def user(*lines: str, home: str = "home") -> str:
    return f"users:\n  alice:\n    home: {home}\n" + "".join(f"    {line}\n" for line in lines)


def test_a_good_site(site: Site) -> None:
    """Nothing is said."""
    assert checked(site) == []


# --- the users


@pytest.mark.parametrize(
    "stored",
    [
        HASH[:-1],
        HASH[:-5],
        HASH[: HASH.rindex("$")],
        HASH[: HASH.rindex("$") + 1] + "aGFzaA",
        HASH.replace("v=19", "v=16"),
        "$6$salt$tooshort",
        "$2b$12$abcdefghijklmnopqrstuv",
        "$y$j9T$salt$tooshort",
    ],
)
def test_a_hash_that_is_not_whole(site: Site, stored: str) -> None:
    """An error, which keeps nobody else out: the server starts with a warning. The hash is not repeated."""
    site.write_users(user(f"password: '{stored}'"))
    line, total = checked(site, 2)
    assert line.startswith("users.yaml:4:15: users.alice.password: the password hash is ")
    assert "ftpsd hash-password" in line
    assert stored[-6:] not in line
    assert total == "ftpsd.yaml is not good: 1 error, 0 warnings"
    assert [warning.key for warning in load(site.path).warnings] == ["users.alice.password"]


def test_a_hash_that_may_have_been_longer(site: Site) -> None:
    """Cut off behind whole bytes it is a hash all the same: a warning."""
    site.write_users(user(f"password: '{HASH[:-3]}'"))
    (line,) = checked(site)
    assert "warning: users.alice.password: the password hash has a digest of 30 bytes, where 32 are usual" in line


@pytest.mark.parametrize(
    "stored",
    [
        HASH,
        "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA",
        "$6$" + "s" * 16 + "$" + "d" * 86,
        "$6$rounds=10000$salt$" + "d" * 86,
        "$2b$12$" + "x" * 53,
        "pbkdf2_sha256$600000$salt$" + "A" * 43 + "=",
    ],
)
def test_a_whole_hash(site: Site, stored: str) -> None:
    """Nothing is said about any kind."""
    site.write_users(user(f"password: '{stored}'"))
    assert checked(site) == []


def test_a_user_who_has_expired(site: Site) -> None:
    """Nobody remembers the date when the login fails."""
    site.write_users(user("expires: 2020-12-31"))
    (line,) = checked(site)
    assert line.startswith("users.yaml:4:14: warning: users.alice.expires: in the past since 2021-01-01 00:00 UTC")


def test_no_users(site: Site) -> None:
    """A server for nobody."""
    site.write_users("users:\n")
    (line,) = checked(site)
    assert "users.yaml" in line
    assert "warning: users: no user is there, so nobody can log in" in line


def test_disabled_users_are_not_doubted(site: Site) -> None:
    """A mistake that does not matter is not told."""
    site.write_users(user("expires: 2020-12-31", f"password: '{HASH[:-1]}'", "enabled: false"))
    assert checked(site) == []


# --- homes


@pytest.mark.parametrize("home", ["/", "/home/..", "root-link"])
def test_a_home_that_is_the_whole_machine(site: Site, home: str) -> None:
    """An error, by whatever name; the daemon does not start with it."""
    (site.folder / "root-link").symlink_to("/")
    site.write_users(user(home=home))
    line, _ = checked(site, 2)
    assert line.startswith("users.yaml:3:11: users.alice.home: ")
    assert "is the whole machine; give the user a directory of its own" in line


@pytest.mark.parametrize(
    ("home", "secret"),
    [
        (".", "ftpsd.yaml"),
        ("tls", "tls/server-key.pem"),
        ("linked", "ftpsd.yaml"),
        ("log", "log/audit.log"),
        ("kept", "kept/state.db"),
        ("backups", "backups/objects"),
        ("around", "around/control.sock"),
    ],
)
def test_a_home_that_holds_the_servers_secrets(site: Site, home: str, secret: str) -> None:
    """Configuration, users file, private keys and audit log are no user's to read: an error."""
    (site.folder / "linked").symlink_to(site.folder)
    (site.folder / "log").mkdir()
    site.replace("/audit.log", "/log/audit.log")
    (site.folder / "kept").mkdir()
    site.replace("/state.db", "/kept/state.db")
    for name in ("backups", "around"):
        (site.folder / name).mkdir()
    site.replace("control_socket: null", "control_socket: around/control.sock")
    site.path.write_text(site.path.read_text() + "jobs: [{name: b, at: 0 1 * * *, backup: {directory: backups}}]\n")
    site.write_users(user(home=str(site.folder / home)))
    line, _ = checked(site, 2)
    assert "users.alice.home: " in line
    assert f"holds {secret}, which belongs to the server" in line


def test_a_mount_that_holds_the_servers_secrets(site: Site) -> None:
    """A mount shows as much as a home."""
    site.write_users(user("mounts: [{path: /all, directory: .}]"))
    assert "users.alice.mounts[0].directory: " in checked(site, 2)[0]


def test_the_same_home_twice(site: Site) -> None:
    """Also by two names; at the second user, once for all of them."""
    (site.folder / "other").symlink_to("home")
    site.write_users(user() + "  bob:\n    home: other\n")
    place = "users.yaml:5:11: warning: users.bob.home: other is the home of alice too"
    assert checked(site) == [f"{place}: each can change what the others have"]
    site.write_users(user() + "  bob:\n    home: other\n  carol:\n    home: home\n")
    assert checked(site) == [f"{place} and of 1 more: each can change what the others have"]


def test_a_home_inside_a_home(site: Site) -> None:
    """At the inner one, with the outer one's user."""
    (site.folder / "home/deep/bob").mkdir(parents=True)
    site.write_users(user() + "  bob:\n    home: home/deep/bob\n")
    assert checked(site) == [
        "users.yaml:5:11: warning: users.bob.home: home/deep/bob lies in home, the home of alice, who can change it; "
        "move one of the two"
    ]


@pytest.mark.parametrize("home", ["~", "~/alice", "~alice"])
def test_a_tilde_is_no_directory(site: Site, home: str) -> None:
    """A shell writes it out, YAML reads nothing or a letter."""
    site.write_users(user(home=home))
    line = checked(site, 2)[0]
    assert line.startswith("users.yaml:3:11: users.alice.home: ")
    assert "write the path out" in line


@only_root
def test_mode_000(site: Site) -> None:
    """Root sees through it, the daemon will not."""
    (site.folder / "home").chmod(0)
    (line,) = checked(site)
    assert "warning: users.alice.home: home has mode 000, so that not even its owner can use it" in line


# --- the network


def test_a_private_public_address(site: Site) -> None:
    """Clients in the Internet are told something that they cannot reach."""
    site.write("passive: {public_address: 192.168.1.5}")
    (line,) = checked(site)
    assert "warning: passive.public_address: 192.168.1.5 cannot be reached from the Internet" in line


def test_a_private_address_for_private_networks(site: Site) -> None:
    """That is what it is for."""
    site.write("passive: {public_address_for: [{networks: [10.0.0.0/8], address: 10.0.0.5}]}")
    assert checked(site) == []


def test_a_public_address_that_cannot_be_resolved(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS is asked; that it does not answer is no error of the configuration."""

    def refuse(*_: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    site.write("passive: {public_address: ftp.example.invalid}")
    (line,) = checked(site)
    assert "warning: passive.public_address: ftp.example.invalid cannot be resolved (Name or service not known)" in line


def test_a_public_address_that_resolves_to_a_private_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where DNS has an inner and an outer view."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(2, 1, 6, "", ("10.1.2.3", 0))])
    site.write("passive: {public_address: ftp.example.com}")
    (line,) = checked(site)
    assert "warning: passive.public_address: ftp.example.com: 10.1.2.3 cannot be reached from the Internet" in line


@pytest.mark.parametrize(("address", "is_open"), [("0.0.0.0", True), ('"::"', True), ("127.0.0.1", False)])
def test_metrics_for_everybody(site: Site, address: str, is_open: bool) -> None:
    """They show sessions and addresses without a password."""
    site.replace("metrics:\n", f"metrics:\n  address: {address}\n")
    lines = checked(site)
    assert bool(lines) is is_open
    assert all("warning: metrics.address: " in line and "write 127.0.0.1" in line for line in lines)


def test_a_listener_at_an_address_that_is_not_here(site: Site) -> None:
    """TEST-NET-1 (RFC 5737) is nobody's."""
    site.replace("{mode: explicit, address: 127.0.0.1", "{mode: explicit, address: 192.0.2.1")
    (line,) = checked(site)
    assert line.startswith("ftpsd.yaml:2:31: warning: listeners[0].address: no interface of this machine has 192.0.2.1")


def test_a_drain_longer_than_the_unit_waits(site: Site) -> None:
    """The unit that comes with ftpsd has TimeoutStopSec=6min."""
    site.replace("drain_timeout: 10s", "drain_timeout: 10m")
    (line,) = checked(site)
    assert "warning: drain_timeout: 10m is not below the 6m after which systemd kills the daemon" in line
    assert "TimeoutStopSec=" in line


# --- certificates


def write_chain(site: Site, *chain: bytes, key: bytes) -> None:
    (site.folder / "tls/server.pem").write_bytes(b"".join(chain))
    (site.folder / "tls/server-key.pem").write_bytes(key)


def test_a_chain_without_its_intermediate(site: Site) -> None:
    """The mistake that browsers forgive and FTP clients do not."""
    root = trustme.CA()
    issued = root.create_child_ca().issue_cert("localhost")
    key = issued.private_key_pem.bytes()
    write_chain(site, issued.cert_chain_pems[0].bytes(), key=key)
    (line,) = checked(site)
    assert line.startswith("ftpsd.yaml:5:16: warning: tls.certificate: the certificate of its issuer, ")
    assert "put the intermediate certificates" in line
    write_chain(site, *(blob.bytes() for blob in issued.cert_chain_pems), key=key)
    assert checked(site) == []


def test_an_unrelated_chain(site: Site) -> None:
    """A chain of another certificate is as good as none, and is named."""
    issued = trustme.CA().create_child_ca().issue_cert("localhost")
    chain = (issued.cert_chain_pems[0].bytes(), trustme.CA().cert_pem.bytes())
    write_chain(site, *chain, key=issued.private_key_pem.bytes())
    first, second = checked(site)
    assert "1 certificate in the file (Testing CA #" in first
    assert "did not sign those before" in first
    assert "the certificate of its issuer" in second


def test_a_certificate_without_a_name(site: Site) -> None:
    """The common name is read by no client of today. It has signed itself, so no chain is missing."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ftp.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=90))
    ).sign(key, SHA256())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_chain(site, certificate.public_bytes(Encoding.PEM), key=secret)
    (line,) = checked(site)
    assert line.startswith("ftpsd.yaml:5:16: warning: tls.certificate: the certificate names no host (subjectAltName)")


# --- who owns the files


@only_root
@pytest.mark.parametrize("name", ["users.yaml", "ftpsd.yaml", "."])
def test_a_file_of_a_stranger(site: Site, name: str) -> None:
    """The owner can write what he likes into it, or put another file in its place."""
    os.chown(site.folder / name, 1234, 1234)
    line = checked(site, 2)[0]
    assert "belongs to 1234, who can " in line
    assert "; run: chown root " in line


@only_root
def test_a_key_of_a_stranger(site: Site) -> None:
    """Programs that renew certificates own keys, so it is a warning."""
    os.chown(site.folder / "tls/server-key.pem", 1234, 1234)
    (line,) = checked(site)
    assert "warning: tls.private_key: tls/server-key.pem belongs to 1234" in line


@pytest.mark.parametrize(
    ("mode", "code", "said"),
    [
        (0o777, 2, "files in it can be replaced by every user of this machine; run: chmod go-w "),
        (0o775, 0, "files in it can be replaced by its group; run: chmod go-w "),
        (0o1777, 0, ""),
        (0o755, 0, ""),
    ],
)
def test_a_folder_that_others_can_write_to(site: Site, mode: int, code: int, said: str) -> None:
    """An account that can write there can log in as anybody; the sticky bit keeps files with their owners."""
    site.folder.chmod(mode)
    lines = [line for line in checked(site, code) if "is not good" not in line]
    assert len(lines) == bool(said)
    assert all(said in line and "users: " in line for line in lines)


@only_root
def test_a_link_of_a_stranger(site: Site) -> None:
    """It can be led elsewhere, whoever owns the file."""
    site.users.rename(site.folder / "real.yaml")
    site.users.symlink_to("real.yaml")
    os.chown(site.users, 1234, 1234, follow_symlinks=False)
    assert "the link users.yaml belongs to 1234" in checked(site, 2)[0]


def test_a_configuration_that_all_can_change(site: Site) -> None:
    """It names the users file, so it is worth as much."""
    site.path.chmod(0o666)
    assert "ftpsd.yaml: it can be changed by every user of this machine; run: chmod go-w" in checked(site, 2)[0]


# --- as the daemon's user


def as_user(site: Site, name: str) -> tuple[int, str]:
    """Run `ftpsd check --as`, which forks, in a process of its own."""
    done = ftpsd("check", "--config", site.path, "--as", name, patience=120)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr.replace(f"{site.folder}/", "")


@pytest.fixture
def open_site() -> Iterator[Site]:
    """A site that other users can reach, its secrets in nobody's group."""
    with reachable_folder() as folder:
        site = Site(folder)
        for name in ("users.yaml", "tls/server-key.pem"):
            os.chown(folder / name, 0, NOBODY)
            (folder / name).chmod(0o640)
        (folder / "tls").chmod(0o755)
        yield site


@only_root
def test_access_is_tried_as_the_daemons_user(open_site: Site) -> None:
    """A home of root's is none of the daemon's, and an error; given away it is fine, and the summary says as whom."""
    code, said = as_user(open_site, "nobody")
    assert code == 2
    assert "users.yaml:3:11: users.alice.home: home cannot be " in said
    assert "; run: chown nobody: " in said
    os.chown(open_site.folder / "home", NOBODY, NOBODY)
    code, said = as_user(open_site, "nobody")
    assert (code, said.count("\n")) == (0, 2), said
    assert "warning: state: state.db: the directory " in said
    (open_site.folder / "state").mkdir()
    os.chown(open_site.folder / "state", NOBODY, NOBODY)
    open_site.replace("/state.db", "/state/state.db")
    code, said = as_user(open_site, "nobody")
    assert (code, said.count("\n")) == (0, 1), said
    assert said.endswith("; access tried as nobody\n")


@only_root
def test_a_key_that_the_daemon_cannot_read(open_site: Site) -> None:
    """Root reads every key, and the daemon would not start."""
    os.chown(open_site.folder / "home", NOBODY, NOBODY)
    (open_site.folder / "tls/server-key.pem").chmod(0o600)
    code, said = as_user(open_site, "nobody")
    assert code == 2
    assert "tls.private_key: tls/server-key.pem cannot be read by user id 65534" in said


@only_root
def test_a_configuration_that_the_daemon_cannot_read(open_site: Site) -> None:
    """The same."""
    open_site.path.chmod(0o600)
    code, said = as_user(open_site, "nobody")
    assert code == 2
    assert "ftpsd.yaml: may not be read by user id 65534" in said


def test_a_user_that_is_not_there(site: Site) -> None:
    """A name that nobody has is a mistake of the command line."""
    result = CliRunner().invoke(main, ["check", "--config", str(site.path), "--as", "no-such-user"])
    assert result.exit_code == 2
    assert "This machine has no user no-such-user." in result.stderr
