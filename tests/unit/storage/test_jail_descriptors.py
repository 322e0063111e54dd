"""The jail: no descriptor is left behind, whatever goes wrong."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.policy import UploadPolicy
from tests.contracts.storages import at, entries, get, interrupt, kind_of, put
from tests.unit.storage.conftest import OpenJail


class TestDescriptors:
    """Descriptors come back, and nobody inherits them."""

    def test_no_operation_leaves_one_open(self, open_jail: OpenJail, home: Path) -> None:
        """After all kinds of success and failure there are as many open descriptors as before."""
        for atomic in (True, False):
            jail = open_jail(policy=UploadPolicy(atomic=atomic))
            jail.make_directory(at("/d"))
            (home / "link").symlink_to("d/a")
            (home / "out").symlink_to("../outside")
            for path in ("/d/a", "/link", "/out", "/d", "/no/such", "/d/a/b", "/"):
                for call in (_upload, _interrupt, _link, _download, _list, _stat, _remove):
                    with suppress(StorageError):
                        call(jail, path)
            for path in ("/d/a", "/link", "/out"):
                with suppress(StorageError):
                    jail.remove_file(at(path))
            for name in os.listdir(home / "d"):
                jail.remove_file(at(f"/d/{name}"))
            jail.remove_directory(at("/d"))
            jail.close()
        assert _descriptors_of(home) == 0

    def test_none_is_inherited(self, jail: LocalJail, home: Path) -> None:
        """A program that the server starts gets none of them."""
        put(jail, "/a", b"1")
        source, sink, listing = jail.open_source(at("/a")), jail.open_sink(at("/b")), jail.list(at("/"))
        ours = [int(fd) for fd in os.listdir("/proc/self/fd") if _leads_into(fd, home)]
        inherited = [fd for fd in ours if os.get_inheritable(fd)]
        source.close()
        sink.abort()
        listing.close()
        assert (len(ours), inherited) == (5, [])  # the root, a source, a partial, a directory twice

    def test_close_waits_for_who_is_inside(self, open_jail: OpenJail, home: Path) -> None:
        """The root's descriptor stays open as long as an operation holds it: its number means no other directory."""
        jail = open_jail()
        root = jail._root
        assert root is not None
        jail.close()
        os.fstat(root.fd)

    def test_sessions_in_one_home_share_its_descriptor(self, open_jail: OpenJail, home: Path) -> None:
        """Ten thousand sessions would need twice as many; the last one closes it."""
        jails = [open_jail() for _ in range(3)]
        put(jails[0], "/a", b"1")
        assert [get(jail, "/a") for jail in jails] == [b"1"] * 3
        assert _descriptors_of(home) == 1
        jails[0].close()
        assert get(jails[1], "/a") == b"1"
        for jail in jails:
            jail.close()
        assert _descriptors_of(home) == 0

    def test_a_home_that_was_replaced_is_opened_anew(self, open_jail: OpenJail, home: Path) -> None:
        """A user who logs in now sees what is there now; sessions from before stay in what they have seen."""
        old = open_jail()
        put(old, "/a", b"old")
        home.rename(home.with_name("moved"))
        home.mkdir()
        new = open_jail()
        assert kind_of(new.stat, at("/a")) is Kind.NOT_FOUND
        put(new, "/a", b"new")
        assert (get(old, "/a"), get(new, "/a"), get(open_jail(), "/a")) == (b"old", b"new", b"new")

    def test_a_home_that_has_gone_is_not_there(self, open_jail: OpenJail, home: Path) -> None:
        """Though a session still holds it open."""
        kept = open_jail()
        home.rename(home.with_name("moved"))
        assert kind_of(open_jail) is Kind.NOT_FOUND
        kept.close()

    def test_policies_about_links_are_kept_apart(self, open_jail: OpenJail, home: Path) -> None:
        """A reload may change `symlinks` while sessions of before are open."""
        (home / "a").write_bytes(b"1")
        (home / "link").symlink_to("a")
        follows, refuses = open_jail(), open_jail(symlinks="none")
        assert get(follows, "/link") == b"1"
        assert kind_of(refuses.open_source, at("/link")) is Kind.NOT_FOUND


def _upload(jail: LocalJail, path: str) -> None:
    put(jail, path, b"1")


def _interrupt(jail: LocalJail, path: str) -> None:
    interrupt(jail, path, b"123")


def _link(jail: LocalJail, path: str) -> None:
    for link, target in ((f"{path}-link", path), (path, "/d"), ("/link/new", path), (f"{path}/new", "/")):
        with suppress(StorageError):
            jail.make_link(at(link), at(target))


def _download(jail: LocalJail, path: str) -> None:
    get(jail, path)


def _list(jail: LocalJail, path: str) -> None:
    entries(jail, path)


def _stat(jail: LocalJail, path: str) -> None:
    jail.stat(at(path))


def _remove(jail: LocalJail, path: str) -> None:
    jail.remove_file(at(path))


def _leads_into(fd: str, home: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith(str(home))
    except FileNotFoundError:
        return False


def _descriptors_of(home: Path) -> int:
    return sum(_leads_into(fd, home) for fd in os.listdir("/proc/self/fd"))
