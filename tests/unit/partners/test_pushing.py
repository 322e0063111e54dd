"""A push: the files it leaves alone at the far end, and its way with a file that is no longer the one it was."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ftpsd.partners.contact import Fault, PartnerError, RemoteFile
from ftpsd.partners.pushing import Outgoing, push


class Server:
    """A server in memory, whose renames replace nothing."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def facts(self, path: str) -> RemoteFile | None:
        """Return what is there."""
        data = self.files.get(path)
        return None if data is None else RemoteFile(path, len(data), "")

    async def put(self, path: str, offset: int, give: Any) -> int:
        """Store."""
        data = bytearray(self.files.get(path, b"")[:offset])
        while piece := await give():
            data += piece
        self.files[path] = bytes(data)
        return len(data) - offset

    async def rename(self, old: str, new: str) -> None:
        """Rename, unless that would replace."""
        if new in self.files:
            raise PartnerError(Fault.REFUSED, "550 it is there")
        self.files[new] = self.files.pop(old)

    async def delete(self, path: str) -> None:
        """Delete."""
        del self.files[path]


class Bytes:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self) -> bytes:
        """Return all, then nothing."""
        data, self._data = self._data, b""
        return data

    async def close(self) -> None:
        """Do nothing."""


def outgoing(data: bytes, *, is_same: bool = True) -> Outgoing:
    """Return *data* on its way."""

    async def opened(offset: int) -> Bytes:
        return Bytes(data[offset:])

    async def same() -> bool:
        return is_same

    return Outgoing(len(data), "mark", opened, is_same=same)


def pushed(server: Server, file: Outgoing, **more: Any) -> str:
    """Push *file* as /in/a, and return the failure, "" for none."""
    session: Any = server
    found: list[Any] = []
    Deferred.fromCoroutine(push(session, file, "/in/a", **more)).addBoth(found.append)
    problem = getattr(found[0], "value", None)
    if problem is not None and not isinstance(problem, PartnerError):
        raise problem
    return "" if problem is None else str(problem)


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_file_of_somebody_else_stays(is_begun: bool) -> None:
    """One that came under the name meanwhile, also where an attempt before was about to rename."""
    server = Server()

    async def comes() -> None:
        server.files["/in/a"] = b"of somebody else"

    if is_begun:
        assert "550" in pushed(server, outgoing(b"ours"), may_replace=False, before_rename=comes)
    else:
        server.files["/in/a"] = b"of somebody else"
    assert pushed(server, outgoing(b"ours"), may_replace=False, may_be_done=is_begun) != ""
    assert server.files["/in/a"] == b"of somebody else"
    assert pushed(server, outgoing(b"ours"), may_be_done=is_begun) == ""
    assert server.files == {"/in/a": b"ours"}


def test_a_file_that_has_changed_gets_no_name() -> None:
    """Nothing of it stays."""
    server = Server()
    assert "has changed" in pushed(server, outgoing(b"half", is_same=False))
    assert server.files == {}
