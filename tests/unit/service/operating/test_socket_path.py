"""The control socket in the file system."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.protocol import Factory

from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.config.reading import read_config
from ftpsd.service.listeners import ListenProblem
from ftpsd.service.operating.socket_path import SocketPath
from tests.reactor import Reactor
from tests.tools import reachable_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short."""
    with reachable_folder() as made:
        yield made


class Ends(Reactor):
    """A reactor that runs what ports leave for the next turn."""

    def addReader(self, reader: Any) -> None:
        """Nobody connects here."""

    def removeReader(self, reader: Any) -> None:
        """See `addReader`."""


def opened(path: Path, *, for_all: bool = False) -> tuple[SocketPath, Any]:
    reactor: Any = Ends()
    place = SocketPath(path)
    place.open(Factory(), for_all=for_all, reactor=reactor)
    return place, reactor


def mode_of(path: Path) -> str:
    return stat.filemode(path.stat().st_mode)


def test_its_mode_and_its_end(folder: Path) -> None:
    """For its owner, or for all; it is removed at the end, and never another's in its place."""
    path = folder / "s"
    for for_all, mode in ((False, "srw-------"), (True, "srw-rw-rw-")):
        place, reactor = opened(path, for_all=for_all)
        assert mode_of(path) == mode
        place.close()
        reactor.advance(1)
        assert not path.exists()
    place, reactor = opened(path)
    path.unlink()
    path.write_text("another's")
    place.close()
    reactor.advance(1)
    assert path.read_text() == "another's"


def test_the_path_of_the_server_before_is_its_own_until_that_hands_over(folder: Path) -> None:
    """A successor that ends before it goes on leaves it; one that ends later removes it."""
    path = folder / "s"
    first, reactor = opened(path)
    for goes_on in (False, True):
        assert first.descriptors is not None
        listening, lock = map(os.dup, first.descriptors)
        second = SocketPath(path)
        second.adopt(listening, lock, Factory(), reactor, is_for_all=False)
        if goes_on:
            first.leave()
            first.close()
            second.go_on()
        second.close()
        reactor.advance(1)
        assert path.exists() is not goes_on


def test_a_socket_of_a_dead_server_is_replaced(folder: Path) -> None:
    """It refuses connections."""
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    before = path.stat().st_ino
    place, _ = opened(path)
    assert path.stat().st_ino != before or mode_of(path) == "srw-------"
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(path))
    place.close()


def test_a_socket_of_a_living_server_is_not_stolen(folder: Path) -> None:
    """Whether it holds our lock, or is another program's; the reason is told, and the other goes on."""
    path, other = folder / "s", folder / "other"
    place, _ = opened(path)
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(other))
        stranger.listen()
        for taken in (path, other):
            with pytest.raises(ListenProblem, match=r"another server answers at .* and keeps it"):
                opened(taken)
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(taken))
    place.close()


def test_what_else_can_be_in_the_way(folder: Path) -> None:
    """A file is not removed, a folder not made."""
    (folder / "file").write_text("precious")
    with pytest.raises(ListenProblem, match="is there and is no socket"):
        opened(folder / "file")
    assert (folder / "file").read_text() == "precious"
    with pytest.raises(ListenProblem, match=r"RuntimeDirectory=.*mkdir"):
        opened(folder / "none" / "s")
    assert not (folder / "none").exists()


def test_a_path_that_no_socket_can_have() -> None:
    """Is told with its place, as are groups that are none."""
    text = f"control_socket: {'x' * 120}/s\ncontrol_groups:\n  viewer: 'a b'\n  operator: 7\n"
    with pytest.raises(ConfigErrors) as problem:
        read_config(text, "ftpsd.yaml", Path("/etc/ftpsd"))
    told = [str(error) for error in problem.value.errors]
    assert told[0].startswith("ftpsd.yaml:1:17: control_socket: /etc/ftpsd/xxx")
    assert told[0].endswith("has 133 bytes, and the path of a socket 107 at most; choose another")
    assert told[1].startswith("ftpsd.yaml:3:11: control_groups.viewer: a b is no name of a group")
    assert told[2].startswith("ftpsd.yaml:4:13: control_groups.operator: 7 is no name of a group")
    assert read_config("control_socket: null\n", "f", Path("/etc")).control_socket is None
    assert read_config("control_groups:\n", "f", Path("/etc")).control_groups.viewer is None
