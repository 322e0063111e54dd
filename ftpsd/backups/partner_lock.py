"""
The lock of a repository on another server: one run at a time changes it, wherever its runs are made.

    locks/TOKEN.json: which run of which machine, since when, seen when

* A run writes its own file, then looks for those of others: of two that begin at once at least one sees the other. Any
  server will do: no call of FTP has to be exclusive.
* The lock of a process of this machine that has died is none. One of another machine holds until it was not renewed for
  `STALE` seconds.
* A run whose lock was taken away ends before its list counts, and before it removes anything more.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, Final

from ftpsd.backups.repository import Busy
from ftpsd.events.disk_look import is_alive, own_name
from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.partners.ftps_client import FTPSClient

# Seconds. A run renews its lock between two files; one file may take as long as this.
RENEWED: Final = 300.0
STALE: Final = 7200.0
# Seconds for which a look at the own lock is believed while objects are removed.
SURE: Final = 30.0
# Runs that begin at the same moment draw back, and try again behind pauses of chance, in seconds.
ATTEMPTS: Final = 5
LONGEST_PAUSE: Final = 2.0
# Bytes of one lock, and locks that are looked at.
MOST: Final = 4096
MOST_LOCKS: Final = 100
_NAME: Final = re.compile(r"[0-9a-f]{32}\.json")


class PartnerLock:
    """The lock of this run in *folder*; *put* stores a small file there as a whole."""

    def __init__(self, client: FTPSClient, folder: str, put: Callable[[BinaryIO, str, int], None]) -> None:
        self._client = client
        self._folder = folder
        self._put = put
        self._name = f"{secrets.token_hex(16)}.json"
        self._began = time.time()
        self._renewed = self._looked = 0.0

    def take(self) -> None:
        """Have it. Raises: Busy, PartnerError."""
        for attempt in range(ATTEMPTS):
            try:
                self._write()
                others = self._others()
            except BaseException:
                self.let_go()
                raise
            if not others:
                return
            self.let_go()
            if attempt == ATTEMPTS - 1 or all(self._began - other["began"] > LONGEST_PAUSE for other in others):
                break
            time.sleep(LONGEST_PAUSE * (0.1 + secrets.randbelow(900) / 1000))
        first = min(others, key=lambda other: float(other["began"]))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(first["began"]))
        raise Busy(
            f"another backup is being made there, by {first['host']} since {since} UTC; if that is gone for good, "
            f"wait for {STALE / 3600:.0f} hours, or remove {self._folder}/{first['name']}"
        )

    def keep(self) -> None:
        """Renew it now and then. Raises: PartnerError where it was taken away."""
        if time.monotonic() - self._renewed > RENEWED:
            self.require()
            self._write()

    def require(self, sure: float = 0.0) -> None:
        """Look whether it is there, unless that was done *sure* seconds ago. Raises: PartnerError."""
        if time.monotonic() - self._looked <= sure:
            return
        if self._client.facts(f"{self._folder}/{self._name}") is None:
            raise PartnerError(Fault.LATER, "another run has taken the lock away, for this one was not seen for long")
        self._looked = time.monotonic()

    def let_go(self) -> None:
        """Remove it; never fails."""
        with suppress(PartnerError):
            self._client.delete(f"{self._folder}/{self._name}")

    def _write(self) -> None:
        told = {
            "machine": _machine(),
            "owner": own_name(),
            "host": socket.gethostname(),
            "began": self._began,
            "seen": time.time(),
        }
        data = json.dumps(told).encode("ascii")
        self._put(io.BytesIO(data), f"{self._folder}/{self._name}", len(data))
        self._renewed = self._looked = time.monotonic()

    def _others(self) -> list[dict[str, Any]]:
        """Return the locks of others that hold, and remove those that do not."""
        found = []
        names = [each.name for each in self._client.listing(self._folder) if _NAME.fullmatch(each.name)]
        for name in sorted(names)[:MOST_LOCKS]:
            if name == self._name:
                continue
            path = f"{self._folder}/{name}"
            there = self._client.facts(path)
            if there is None:
                continue  # let go meanwhile
            other = self._read(path, there.size)
            if other is None or _is_over(other):
                with suppress(PartnerError):
                    self._client.delete(path)
            else:
                found.append({**other, "name": name})
        return found

    def _read(self, path: str, size: int) -> dict[str, Any] | None:
        data = bytearray()
        if size > MOST:
            return None
        try:
            self._client.get(path, 0, size, data.extend)
        except PartnerError as error:
            if error.fault in (Fault.REFUSED, Fault.MISSING):
                return None  # let go meanwhile
            raise
        try:
            told = json.loads(data)
            return {
                **{name: str(told[name]) for name in ("machine", "owner", "host")},
                **{name: float(told[name]) for name in ("began", "seen")},
            }
        except (ValueError, TypeError, KeyError):
            return None


def _is_over(other: dict[str, Any]) -> bool:
    if other["machine"] and other["machine"] == _machine():
        try:
            return not is_alive(other["owner"])
        except ValueError:
            return True
    return bool(abs(time.time() - other["seen"]) > STALE)


def _machine() -> str:
    """Return what tells machines, and containers with processes of their own, apart; "" unknown."""
    try:
        with open("/etc/machine-id") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
