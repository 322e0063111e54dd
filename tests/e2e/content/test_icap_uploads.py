"""Uploads through a real c-icap, which asks a real clamd: what is found never gets its name."""

from __future__ import annotations

import ftplib
from collections.abc import Iterator

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import CLEAR, EXPLICIT, content, log_in
from tests.e2e.content.cicap import CIcap
from tests.e2e.content.clamav import EICAR, MIB, SIGNATURE, ClamAV
from tests.e2e.content.storing import REFUSED, assert_hanging_is_told, assert_refused_by_every_way, said, there
from tests.e2e.daemon import Account, Daemon


@pytest.fixture(scope="module")
def icap(tmp_path_factory: pytest.TempPathFactory, clamd: ClamAV) -> Iterator[CIcap]:
    """A c-icap in front of the clamd."""
    icap = CIcap(tmp_path_factory.mktemp("c-icap"), clamd)
    try:
        icap.start()
        yield icap
    finally:
        icap.stop()


@pytest.fixture(scope="module")
def iced(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration, icap: CIcap) -> Iterator[Daemon]:
    """A daemon that takes nothing below /in but what the service finds clean."""
    changes = {
        "tls": {"require": "none"},
        "mode_z": True,
        "accept": [
            {"paths": ["/in/**"], "scan": [icap.url()]},
            # This service sends parts of large files back while it looks at them.
            {"paths": ["/back/**"], "scan": [icap.url("virus_scan")]},
        ],
        "scanning": {"timeout": "4s"},
        "quarantine": {"directory": "quarantine"},
    }
    daemon = Daemon(tmp_path_factory.mktemp("iced"), tls_files, changes)
    with daemon.running():
        yield daemon
    assert "Traceback" not in daemon.stderr, daemon.stderr


@pytest.fixture
def account(iced: Daemon) -> Account:
    """A user with the guarded directories /in and /back, and /out."""
    account = iced.account()
    for name in ("in", "out", "back"):
        (account.home / name).mkdir()
    return account


@pytest.fixture
def ftp(iced: Daemon, account: Account) -> ftplib.FTP:
    """A session of that user."""
    return log_in(iced, CLEAR, account)


def test_every_way_of_storing(ftp: ftplib.FTP, iced: Daemon, account: Account) -> None:
    """A file with a finding is refused, whichever command it comes by, and the file that was there stays."""
    assert_refused_by_every_way(ftp, log_in(iced, EXPLICIT, account), account)


def test_clean_files_and_finds(ftp: ftplib.FTP, iced: Daemon, account: Account, icap: CIcap) -> None:
    """Small, large and empty files are taken; what stands first, or far behind the preview, is found and kept."""
    large = content(3 * MIB)
    for folder in ("in", "back"):
        for name, data in {"small": b"clean", "large": large, "nothing": b"", "page": b"a" * 1025}.items():
            assert said(ftp, f"{folder}/{name}", data).startswith("226"), name
            assert (account.home / folder / name).read_bytes() == data
        for data in (EICAR, bytes(20 * MIB) + EICAR):
            assert REFUSED.fullmatch(said(ftp, f"{folder}/found", data)), folder
            assert f"{folder}/found" not in there(account)
    match = REFUSED.fullmatch(said(ftp, "in/found", EICAR))
    assert match is not None
    event = iced.wait_for_event("upload-refused", incident=match[1])
    assert {"verdict": "infected", "engine": icap.url(), "kept": True}.items() <= event.items()
    assert SIGNATURE in event["found"]
    assert "Antivirus service CI0001-" in event["signatures"]


def test_a_service_that_hangs_in_mid_file(ftp: ftplib.FTP, iced: Daemon, account: Account, icap: CIcap) -> None:
    """451 when its patience is over, and what came in can be resumed; others are served meanwhile."""
    data = content(12 * MIB)
    assert_hanging_is_told(ftp, log_in(iced, CLEAR, account), data, icap)
    assert iced.wait_for_event("upload-refused", verdict="unavailable")["found"] == "silent for 4 s"
    assert not (account.home / "in" / "file").exists()
    assert said(ftp, "in/file", data).startswith("226")
    assert (account.home / "in" / "file").read_bytes() == data


def test_its_engine_is_down(ftp: ftplib.FTP, account: Account, clamd: ClamAV) -> None:
    """A service whose own engine does not answer has no verdict: 451, and nothing is published."""
    clamd.stop()
    try:
        assert said(ftp, "in/file", b"clean").startswith("451")
        assert "in/file" not in there(account)
    finally:
        clamd.start()
    assert said(ftp, "in/file", b"clean").startswith("226")
