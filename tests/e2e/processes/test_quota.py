"""Decisions to make once: a quota holds for both processes together, to the byte, and a name has one first owner."""

from __future__ import annotations

import ftplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ftpsd.demo.authority import Demonstration
from tests.e2e.client import EXPLICIT, content, log_in, upload
from tests.e2e.daemon import Daemon
from tests.e2e.polling import eventually
from tests.e2e.processes.conftest import TWO
from tests.e2e.processes.pair import one_in_each

LIMIT, SIZE, CLIENTS = 1_000_000, 300_000, 8


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Daemon]:
    """Two processes; each test gives them its users anew."""
    daemon = Daemon(tmp_path_factory.mktemp("quotas"), tls_files, TWO)
    with daemon.running():
        yield daemon


def with_quota(own: Daemon, quota: dict[str, int]) -> None:
    """Give every user *quota*."""
    own.write_users({name: {**user, "quota": quota} for name, user in own.users.items()})
    own.reload()


def test_bytes_to_the_last(own: Daemon) -> None:
    """Eight uploads at once, for which there is no room: each is whole, or refused and not there."""
    with_quota(own, {"bytes": LIMIT})
    account = own.account()

    def store(number: int) -> bool:
        ftp = log_in(own, EXPLICIT, account)
        try:
            reply = upload(ftp, f"file{number}", content(SIZE))
        except ftplib.error_perm as error:
            reply = str(error)
        except OSError:
            # The data connection was cut while the client was still sending.
            reply = ftp.getmultiline()
        ftp.close()
        return {"226": True, "552": False}[reply[:3]]

    with ThreadPoolExecutor(CLIENTS) as pool:
        fitted = list(pool.map(store, range(CLIENTS)))
    assert any(fitted)
    assert sum(fitted) <= LIMIT // SIZE
    sizes = {path.name: path.stat().st_size for path in account.home.iterdir()}
    assert sum(sizes.values()) == SIZE * sum(fitted)
    assert [sizes.get(f"file{number}") for number in range(CLIENTS)] == [SIZE if fits else None for fits in fitted]


def test_who_may_not_overwrite_does_not(own: Daemon) -> None:
    """Eight uploads to one name at once, in both processes: one is stored, and nobody replaces it."""
    rules = [{"path": "/**", "allow": ["list", "read", "upload"]}]
    own.write_users({name: {**user, "rules": rules} for name, user in own.users.items()})
    own.reload()
    account = own.account()

    def store(number: int) -> str:
        ftp = log_in(own, EXPLICIT, account)
        try:
            return upload(ftp, "file", content(1000 + number))[:3]
        except ftplib.Error as error:
            return str(error)[:3]
        except OSError:
            return ftp.getmultiline()[:3]
        finally:
            ftp.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        codes = list(pool.map(store, range(CLIENTS)))
    assert codes.count("226") == 1
    assert (account.home / "file").read_bytes() == content(1000 + codes.index("226"))


def test_ranges_of_one_file(own: Daemon) -> None:
    """Eight uploads into ranges of one file at once, in both processes: each that was answered 226 is there."""
    own.write_users(own.users)
    own.reload()
    account = own.account()
    (account.home / "file").write_bytes(bytes(CLIENTS * SIZE))

    def store(number: int) -> str:
        ftp = log_in(own, EXPLICIT, account)
        ftp.sendcmd(f"RANG {number * SIZE} {(number + 1) * SIZE - 1}")
        try:
            return upload(ftp, "file", bytes([number + 1]) * SIZE)[:3]
        except ftplib.Error as error:
            return str(error)[:3]
        finally:
            ftp.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        codes = list(pool.map(store, range(CLIENTS)))
    assert set(codes) <= {"226", "450"}
    assert "226" in codes
    data = (account.home / "file").read_bytes()
    for number, code in enumerate(codes):
        expected = number + 1 if code == "226" else 0
        assert set(data[number * SIZE : (number + 1) * SIZE]) == {expected}


def test_what_one_deletes_the_other_may_use(own: Daemon) -> None:
    """Room that one process gives back is there for the other at once, of bytes and of files."""
    with_quota(own, {"bytes": LIMIT, "files": 2})
    account = own.account()
    one, other = one_in_each(own, account)

    def is_counted() -> bool:
        return one.sendcmd("NOOP").startswith("200") and _stores(other, "first", 10)

    eventually(is_counted, "the home is counted")
    upload(one, "second", content(LIMIT - 10))
    assert not _stores(other, "third", 1)
    one.delete("second")
    assert _stores(other, "third", LIMIT - 10)
    assert not _stores(one, "fourth", 1)
    for ftp in (one, other):
        ftp.close()


def _stores(ftp: ftplib.FTP, name: str, size: int) -> bool:
    try:
        upload(ftp, name, content(size))
    except (ftplib.error_perm, ftplib.error_temp):
        return False
    except OSError:
        return ftp.getmultiline().startswith("226")
    return True
