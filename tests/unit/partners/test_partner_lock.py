"""The lock of a repository on a server in memory: by whom it holds, until when, and what a run does without it."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from ftpsd.backups.partner_lock import STALE
from ftpsd.backups.partner_repository import PartnerRepository
from ftpsd.backups.repository import Busy
from ftpsd.partners.contact import Fault, PartnerError, RemoteFile


class Far:
    """A server, as an `FTPSClient`."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def facts(self, path: str) -> RemoteFile | None:
        return RemoteFile(path.rpartition("/")[2], len(self.files[path]), "") if path in self.files else None

    def listing(self, directory: str) -> list[RemoteFile]:
        found = [self.facts(path) for path in self.files if path.rpartition("/")[0] == directory]
        return [each for each in found if each is not None]

    def get(self, path: str, offset: int, size: int | None, take: Callable[[bytes], object]) -> None:
        take(self.files[path])

    def put(self, path: str, offset: int, give: Callable[[], bytes]) -> None:
        self.files[path] = b"".join(iter(give, b""))

    def rename(self, old: str, new: str) -> None:
        self.files[new] = self.files.pop(old)

    def delete(self, path: str) -> None:
        if self.files.pop(path, None) is None:
            raise PartnerError(Fault.REFUSED, "550 No such file")

    def make_directory(self, path: str) -> None:
        """Directories are names here."""


def repository(far: Far) -> PartnerRepository:
    """Return the repository of another run."""
    client: Any = far
    return PartnerRepository(client, "/safe")


def locks(far: Far) -> list[str]:
    """Return the locks."""
    return [path for path in far.files if path.startswith("/safe/locks/")]


def test_one_run_at_a_time() -> None:
    """A run that is under way bars others, and is named; one of a process that has died, or long unseen, does not."""
    far = Far()
    with repository(far).alone():
        (lock,) = locks(far)
        own = json.loads(far.files[lock])
        own["began"] -= 60
        far.files[lock] = json.dumps(own).encode()
        with pytest.raises(Busy, match=lock), repository(far).alone():
            pass
        assert locks(far) == [lock]
    assert locks(far) == []
    now, elsewhere = time.time(), {**own, "machine": "another"}
    for told, is_barred in (
        (own, True),
        ({**own, "owner": own["owner"] + "1"}, False),
        ({**own, "owner": "nonsense"}, False),
        ({**elsewhere, "seen": now - STALE / 2}, True),
        ({**elsewhere, "seen": now - STALE - 60}, False),
        ({**elsewhere, "machine": "", "seen": now - STALE - 60}, False),
        ({"began": "never"}, False),
    ):
        far.files[lock] = json.dumps(told).encode()
        try:
            with repository(far).alone():
                assert not is_barred, told
                assert lock not in locks(far)
        except Busy:
            assert is_barred, told
        assert locks(far) == ([lock] if is_barred else [])


def test_a_run_that_has_lost_its_lock_ends_before_its_list_counts() -> None:
    """What it has stored is stored; and what a run has left in the middle goes with the next one."""
    far, digest = Far(), "ab" * 32
    mine = repository(far)
    with mine.alone():
        mine.store(io.BytesIO(b"data"), digest, 4)
        (lock,) = locks(far)
        del far.files[lock]
        with pytest.raises(PartnerError, match="taken the lock away"):
            mine.publish("20261201T000000Z-000000", io.BytesIO(b"{}"))
    assert [*far.files] == [f"/safe/objects/ab/{digest}"]
    far.files[f"/safe/objects/ab/{digest}.0123.part"] = b"da"
    other = repository(far)
    with other.alone():
        assert other.has(digest, 4)
        other.publish("20261201T000001Z-000000", io.BytesIO(b"{}"))
    assert [*far.files] == [f"/safe/objects/ab/{digest}", "/safe/backups/20261201T000001Z-000000.jsonl"]
