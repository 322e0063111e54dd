"""check_files: what is wrong with the files that a configuration names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ftpsd.config.checks.named_files import check_files
from ftpsd.config.model import Config
from ftpsd.config.reading import load_config

NOBODY = 65534

CONFIG = """\
tls:
  certificate: c.pem
  private_key: k.pem
users: users.yaml
audit: {log: log/audit.log}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Make a folder in which everything is right."""
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text("pem")
    for name in ("log", "home"):
        (tmp_path / name).mkdir()
    (tmp_path / "users.yaml").write_text("users:\n  a:\n    home: home\n")
    (tmp_path / "ftpsd.yaml").write_text(CONFIG)
    for name in ("k.pem", "users.yaml"):
        (tmp_path / name).chmod(0o600)
    return tmp_path


def complaints(site: Path) -> list[str]:
    """Return every complaint, without the folder."""
    return [str(error).replace(f"{site}/", "") for error in check_files(config(site))]


def config(site: Path) -> Config:
    return load_config(site / "ftpsd.yaml")


def test_a_good_site_has_no_complaints(site: Path) -> None:
    """Nothing is said where nothing is wrong."""
    assert complaints(site) == []


def test_everything_missing_is_told_at_its_key(site: Path) -> None:
    """Each file that is not there is told at the key that names it."""
    for name in ("c.pem", "k.pem", "users.yaml"):
        (site / name).unlink()
    (site / "log").rmdir()
    assert complaints(site) == [
        "ftpsd.yaml:2:16: tls.certificate: c.pem does not exist; make it, or correct the path",
        "ftpsd.yaml:3:16: tls.private_key: k.pem does not exist; make it, or correct the path",
        "ftpsd.yaml:4:8: users: users.yaml does not exist; make it, or correct the path",
        "ftpsd.yaml:5:14: audit.log: the directory log does not exist; run: mkdir -p log",
    ]


def test_no_certificate_is_needed_without_tls(site: Path) -> None:
    """Plain FTP needs no certificate, unless a listener begins with TLS."""
    (site / "c.pem").unlink()
    plain = "listeners: [{mode: explicit, port: 21}]\n" + CONFIG.replace("tls:\n", "tls:\n  require: none\n")
    (site / "ftpsd.yaml").write_text(plain)
    assert complaints(site) == []
    (site / "ftpsd.yaml").write_text(plain.replace("explicit", "implicit"))
    assert len(complaints(site)) == 1


def test_a_key_that_everybody_reads_is_a_warning(site: Path) -> None:
    """A world-readable key is told with the command that closes it."""
    (site / "k.pem").chmod(0o644)
    assert complaints(site) == [
        "ftpsd.yaml:3:16: warning: tls.private_key: k.pem can be read by every user of this machine; "
        "run: chmod 600 k.pem"
    ]


def test_a_key_that_a_group_reads_is_fine(site: Path) -> None:
    """Debian's ssl-cert group is how many daemons read their key."""
    (site / "k.pem").chmod(0o640)
    assert complaints(site) == []


@pytest.mark.parametrize(
    ("mode", "complaint"),
    [
        (0o620, "ftpsd.yaml:4:8: users: users.yaml can be changed by its group; run: chmod 600 users.yaml"),
        (
            0o606,
            "ftpsd.yaml:4:8: users: users.yaml can be changed by every user of this machine; run: chmod 600 users.yaml",
        ),
        (0o604, "ftpsd.yaml:4:8: warning: users: users.yaml can be read by every user of this machine; run: chmod 600"),
    ],
)
def test_a_users_file_open_to_others(site: Path, mode: int, complaint: str) -> None:
    """An account that can write the file can log in as anybody; one that can read it can try passwords."""
    (site / "users.yaml").chmod(mode)
    (line,) = complaints(site)
    assert line.startswith(complaint)


@contextmanager
def as_somebody(site: Path) -> Iterator[None]:
    """Be nobody for a while, where the tests run as root, who reads everything."""
    if os.geteuid() != 0:
        yield
        return
    for folder in (site, *site.parents):
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o711)
    for path in site.rglob("*"):
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_of_somebody_else_keeps_its_group(site: Path) -> None:
    """The daemon reads a file of root through its group; chmod 600 would lock it out."""
    os.chown(site / "k.pem", 1234, 1234)
    (site / "k.pem").chmod(0o644)
    assert complaints(site)[0].endswith("run: chmod 640 k.pem")


def test_homes_are_looked_at(site: Path) -> None:
    """A home that is not there, or is no directory, is told in the users file."""
    (site / "file").write_text("")
    (site / "users.yaml").write_text(
        "users:\n  a: {home: gone}\n  b: {home: file}\n  c: {home: gone too, enabled: false}\n  d: {home: file/x}\n"
    )
    assert complaints(site) == [
        "users.yaml:2:13: users.a.home: gone does not exist; run: mkdir -p gone",
        "users.yaml:3:13: users.b.home: file is not a directory; name one, or move the file away and run mkdir -p",
        "users.yaml:4:13: warning: users.c.home: gone too does not exist; run: mkdir -p 'gone too'",
        "users.yaml:5:13: users.d.home: file/x does not exist; run: mkdir -p file/x",
    ]


def test_directories_of_mounts_are_looked_at(site: Path) -> None:
    """A mount whose directory is not there is told at its place, before a login is refused for it."""
    (site / "users.yaml").write_text(
        "users:\n  a: {home: home, mounts: [{path: /m, directory: home}, {path: /n, directory: gone}]}\n"
        "  b: {home: home, enabled: false, mounts: [{path: /m, directory: users.yaml}]}\n"
    )
    assert complaints(site) == [
        "users.yaml:2:79: users.a.mounts[1].directory: gone does not exist; run: mkdir -p gone",
        "users.yaml:3:66: warning: users.b.mounts[0].directory: users.yaml is not a directory; name one, or move the "
        "file away and run mkdir -p",
    ]


def test_errors_of_the_users_file_come_along(site: Path) -> None:
    """Mistakes in the users file are told together with everything else."""
    (site / "k.pem").unlink()
    (site / "users.yaml").write_text("users: {a: {hom: /h}}")
    assert [line.split(": ")[1] for line in complaints(site)] == ["tls.private_key", "users.a.home", "users.a.hom"]


def test_a_file_that_cannot_be_read_is_told(site: Path) -> None:
    """A key that the daemon may not read is told with the command to run."""
    (site / "k.pem").chmod(0)
    with as_somebody(site):
        (line,) = complaints(site)
    assert "cannot be read by user id" in line


def test_a_directory_is_no_file(site: Path) -> None:
    """A certificate or a log that is a directory is told."""
    (site / "ftpsd.yaml").write_text(CONFIG.replace("c.pem", "home").replace("log/audit.log", "log"))
    assert complaints(site) == [
        "ftpsd.yaml:2:16: tls.certificate: home is a directory, not a file",
        "ftpsd.yaml:5:14: audit.log: log is a directory; name a file in it",
    ]


def test_ports_are_looked_at_again(site: Path) -> None:
    """A configuration that was put together in code is checked for clashes, too."""
    changed = config(site)
    metrics = changed.metrics
    assert metrics is not None
    changed = changed.model_copy(update={"metrics": metrics.model_copy(update={"port": 3001})})
    assert [error.key for error in check_files(changed)] == ["metrics.port"]
