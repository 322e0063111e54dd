"""Every way in which a client stores a file, with what an engine finds."""

from __future__ import annotations

import ftplib
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import pytest

from tests.e2e.client import code, reply, upload
from tests.e2e.content.clamav import EICAR, MIB
from tests.e2e.daemon import Account

REFUSED = re.compile(r"550 The server does not take this file\. Incident ([0-9a-f]{10})\.")


def said(ftp: ftplib.FTP, name: str, data: bytes, verb: str = "STOR", rest: int | None = None) -> str:
    """Return the last reply to an upload, whatever it is."""
    try:
        return upload(ftp, name, data, verb, rest)
    except ftplib.Error as error:
        return str(error)


def there(account: Account) -> dict[str, bytes]:
    """Return all files in the home, hidden ones too."""
    return {
        str(file.relative_to(account.home)): file.read_bytes() for file in account.home.rglob("*") if file.is_file()
    }


def assert_refused_by_every_way(ftp: ftplib.FTP, secure: ftplib.FTP, account: Account) -> None:
    """Store a file with a finding below /in by each command; *secure* is a session over TLS."""
    half = len(EICAR) // 2
    old, rest = EICAR[:half], EICAR[half:]

    def rang(name: str) -> str:
        reply(ftp, f"RANG {half} {len(EICAR) - 1}")
        return said(ftp, name, rest)

    def mode_z(name: str) -> str:
        reply(ftp, "MODE Z")
        try:
            return said(ftp, name, zlib.compress(EICAR))
        finally:
            reply(ftp, "MODE S")

    def cpto(name: str) -> str:
        (account.home / "out" / "source").write_bytes(EICAR)
        reply(ftp, "SITE CPFR out/source")
        return reply(ftp, f"SITE CPTO {name}")

    def comb(name: str) -> str:
        (account.home / "out" / "part").write_bytes(rest)
        return reply(ftp, f'COMB "{name}" "out/part"')

    def resumed(name: str) -> str:
        (account.home / name).unlink()
        with secure.transfercmd(f"STOR {name}") as connection:
            connection.sendall(old)  # and no close_notify
        assert code(secure, "NOOP") == 426
        secure.voidresp()
        return said(secure, name, rest, rest=half)

    ways: dict[str, Callable[[str], str]] = {
        "STOR": lambda name: said(ftp, name, EICAR),
        "APPE": lambda name: said(ftp, name, rest, "APPE"),
        "REST": lambda name: said(ftp, name, rest, rest=half),
        "STOU": lambda name: said(ftp, name, EICAR, "STOU"),
        "RANG": rang,
        "MODE-Z": mode_z,
        "CPTO": cpto,
        "COMB": comb,
        "resumed": resumed,
    }
    ftp.voidcmd("TYPE I")
    for way, store in ways.items():
        path = account.home / "in" / way
        path.write_bytes(old)
        assert REFUSED.fullmatch(store(f"in/{way}")), way
        expected = [] if way == "resumed" else [f"in/{way}"]
        assert [name for name in there(account) if name.startswith("in/")] == expected, way
        path.unlink(missing_ok=True)


class Engine(Protocol):
    """An engine that can be made to hang."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...


def assert_hanging_is_told(ftp: ftplib.FTP, other: ftplib.FTP, data: bytes, engine: Engine) -> None:
    """Let *engine* hang while *data* is stored as in/file: 451 in time, and *other* is served meanwhile."""
    ftp.voidcmd("TYPE I")
    connection = ftp.transfercmd("STOR in/file")
    try:
        connection.sendall(data[: 2 * MIB])
        engine.pause()
        for number in range(5):
            assert said(other, f"out/{number}", b"served").startswith("226")
        with suppress(OSError):  # it is cut behind the reply
            for _ in range(1000):
                connection.sendall(data[2 * MIB :])
    finally:
        engine.resume()
        connection.close()
    with pytest.raises(ftplib.error_temp, match=r"451 The file could not be checked now"):
        ftp.voidresp()
