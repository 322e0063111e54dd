"""The jail: the permission bits of what is on the disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsd.storage.base import Kind
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.quota.account import QuotaAccount
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.quota import Quota
from tests import confined
from tests.contracts.storages import at, get, kind_of, names, put
from tests.unit.storage.accounts import opened
from tests.unit.storage.conftest import OpenJail


class TestModes:
    """Permission bits on the disk."""

    def test_umask_decides_for_files_and_directories(self, open_jail: OpenJail, home: Path) -> None:
        """The policy's umask counts, not the process's."""
        jail = open_jail(policy=UploadPolicy(umask=0o002, durable=False))
        before = os.umask(0o077)
        try:
            put(jail, "/file", b"")
            jail.make_directory(at("/d"))
        finally:
            os.umask(before)
        assert [(home / name).stat().st_mode & 0o777 for name in ("file", "d")] == [0o664, 0o775]

    def test_no_umask_takes_a_directory_from_the_server(self, open_jail: OpenJail, home: Path) -> None:
        """Files may be as the operator likes."""
        jail = open_jail(policy=UploadPolicy(umask=0o577, durable=False))
        put(jail, "/file", b"")
        jail.make_directory(at("/d"))
        assert [(home / name).stat().st_mode & 0o777 for name in ("file", "d")] == [0o200, 0o700]

    def test_directory_hands_down_its_group(self, jail: LocalJail, home: Path) -> None:
        """MKD and SITE CHMOD keep the set-group-id bit of a shared directory."""
        home.chmod(0o2770)
        jail.make_directory(at("/d"))
        jail.set_mode(at("/d"), 0o750)
        assert (home / "d").stat().st_mode & 0o7777 == 0o2750

    @pytest.mark.parametrize("umask", [0o077, 0o027, 0o002])
    def test_directory_in_a_shared_one_under_the_unit(self, home: Path, umask: int) -> None:
        """Where systemd refuses every chmod with a special bit, MKD hands group and bit down all the same."""
        if not confined.is_possible():
            pytest.skip("no seccomp filter for this machine")
        home.chmod(0o2770)
        os.chown(home, -1, os.getgid())
        script = (
            "import os, pathlib, tests.confined; tests.confined.confine(); os.umask(0o077)\n"
            "from ftpsd.storage.jail import LocalJail\n"
            "from ftpsd.storage.uploads.policy import UploadPolicy\n"
            "from ftpsd.values.path import VirtualPath\n"
            f"jail = LocalJail.open(pathlib.Path({str(home)!r}), uploads=UploadPolicy(umask={umask}), owner='u')\n"
            "jail.make_directory(VirtualPath(('d',)))\n"
            "assert os.umask(0) == 0o077\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
        assert (home / "d").stat().st_mode & 0o7777 == 0o2777 & ~umask

    @pytest.mark.parametrize("call", ["fchmod", "fsync"])
    def test_refused_directory_leaves_nothing(self, home: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        """A failure behind the mkdir removes the directory again, also from the quota's count."""
        account = QuotaAccount(home)
        account.count()
        jail = opened(home, account, Quota(files=9), policy=UploadPolicy(umask=0o002))
        before = os.umask(0o077)

        def fails(*arguments: object) -> None:
            raise OSError(errno.EIO, "broken")

        monkeypatch.setattr(os, call, fails)
        try:
            assert kind_of(jail.make_directory, at("/d")) is Kind.IO
        finally:
            os.umask(before)
        assert list(home.iterdir()) == []
        standing = jail.standing(at("/"))
        assert standing is not None
        assert standing.used.directories == 0

    def test_making_and_renaming_in_an_inbox_that_cannot_be_read(
        self, open_jail: OpenJail, home: Path, unprivileged: Callable[[], None]
    ) -> None:
        """A directory that may only be written to takes durable directories, links and renames."""
        jail = open_jail(policy=UploadPolicy())
        home.chmod(0o300)
        unprivileged()
        jail.make_directory(at("/d"))
        jail.rename(at("/d"), at("/e"))
        jail.make_link(at("/link"), at("/e"))
        jail.rename(at("/link"), at("/e/link"))
        jail.set_mode(at("/"), 0o700)
        assert names(jail) == ["e"]
        assert names(jail, "/e") == []
        jail.remove_file(at("/e/link"))

    def test_file_that_its_owner_cannot_read_gets_a_mode(
        self, jail: LocalJail, home: Path, unprivileged: Callable[[], None]
    ) -> None:
        """SITE CHMOD undoes a SITE CHMOD 000."""
        unprivileged()
        put(jail, "/a", b"1")
        jail.set_mode(at("/a"), 0)
        assert kind_of(jail.open_source, at("/a")) is Kind.DENIED
        jail.set_mode(at("/a"), 0o600)
        assert get(jail, "/a") == b"1"

    def test_directory_that_cannot_be_read_is_walked_through(
        self, jail: LocalJail, home: Path, unprivileged: Callable[[], None]
    ) -> None:
        """Search permission is enough for a path that is known."""
        (home / "d").mkdir()
        (home / "d" / "a").write_bytes(b"1")
        (home / "d" / "a").chmod(0o644)
        (home / "d").chmod(0o311)
        unprivileged()
        assert (get(jail, "/d/a"), kind_of(jail.list, at("/d"))) == (b"1", Kind.DENIED)

    def test_durable_upload_into_an_inbox_that_cannot_be_read(
        self, open_jail: OpenJail, home: Path, unprivileged: Callable[[], None]
    ) -> None:
        """A directory that may only be written to takes durable uploads."""
        jails = [open_jail(policy=UploadPolicy(atomic=atomic)) for atomic in (True, False)]
        home.chmod(0o300)
        unprivileged()
        for number, jail in enumerate(jails):
            put(jail, f"/{number}", b"1")
            assert get(jail, f"/{number}") == b"1"

    @pytest.mark.parametrize("atomic", [True, False])
    def test_read_only_file_is_not_replaced(
        self, open_jail: OpenJail, home: Path, unprivileged: Callable[[], None], atomic: bool
    ) -> None:
        """A file that its operator made read-only stays, although a rename would not ask."""
        jail = open_jail(policy=UploadPolicy(atomic=atomic, durable=False))
        unprivileged()
        put(jail, "/a", b"precious")
        jail.set_mode(at("/a"), 0o400)
        assert kind_of(jail.open_sink, at("/a")) is Kind.DENIED
        assert get(jail, "/a") == b"precious"

    def test_directory_that_cannot_be_written(
        self, jail: LocalJail, home: Path, unprivileged: Callable[[], None]
    ) -> None:
        """The file system's refusal is DENIED."""
        home.chmod(0o500)
        unprivileged()
        kinds = [kind_of(jail.open_sink, at("/a")), kind_of(jail.make_directory, at("/d"))]
        assert kinds == [Kind.DENIED] * 2
