"""The client of other servers, against vsftpd, ProFTPD and ftpsd itself: explicit and implicit, cut off and resumed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ftpsd.demo.authority import Demonstration
from ftpsd.doctor.finding import Level
from ftpsd.doctor.outside.from_outside import Wishes, examine_from_outside
from ftpsd.doctor.outside.patience import Patience
from ftpsd.doctor.probe import Login
from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.partners.ftps_client import FTPSClient
from ftpsd.partners.partner_session import PartnerSession
from ftpsd.partners.pushing import Outgoing, Pushed, Reader, push, temporary_name
from tests.e2e.daemon import PASSWORD, Daemon
from tests.e2e.partners.counterparts import Counterpart, counterpart
from tests.e2e.partners.reactors import driven
from tests.tools import reachable_folder

# Nobody listens at the lowest port (tcpmux).
CLOSED = 1
DATA = os.urandom(900_000)


@pytest.fixture(scope="module")
def servers(tls_files: Demonstration) -> Iterator[dict[str, Counterpart]]:
    """One of each: vsftpd requires that TLS sessions are resumed, and so does ftpsd."""
    with ExitStack() as stack:
        folder = stack.enter_context(reachable_folder())
        found = {
            "vsftpd": stack.enter_context(counterpart(folder / "a", "vsftpd")),
            "vsftpd, implicit": stack.enter_context(counterpart(folder / "b", "vsftpd", implicit=True)),
            "proftpd": stack.enter_context(counterpart(folder / "c", "proftpd")),
        }
        daemon = Daemon(folder / "d", tls_files, {}, users=1)
        stack.enter_context(daemon.running())
        account = daemon.account()
        for mode, port in (("explicit", daemon.ports.explicit), ("implicit", daemon.ports.implicit)):
            authority = tls_files.authority
            found[f"ftpsd, {mode}"] = Counterpart(port, mode, account.home, authority, account.name, PASSWORD)
        yield found


def test_all_that_a_job_does_with_every_server(servers: dict[str, Counterpart]) -> None:
    """List, look, fetch, fetch the rest, store, store the rest, rename, delete; data connections are resumed ones."""
    for name, server in servers.items():
        for minimum in ("1.2", "1.3"):
            server.put("out/a b.bin", DATA)
            server.make("in")
            client = FTPSClient(server.contact(minimum_version=minimum))
            client.open()
            assert [(each.name, each.size) for each in client.listing("/out")] == [("a b.bin", len(DATA))], name
            found = client.facts("/out/a b.bin")
            assert found is not None
            assert (found.size, found.modified[:2]) == (len(DATA), "20"), name
            assert client.facts("/out/none") is None
            got: list[bytes] = []
            assert client.get("/out/a b.bin", 0, len(DATA), got.append) == len(DATA)
            assert client.get("/out/a b.bin", 600_000, len(DATA), got.append) == 300_000
            assert b"".join(got) == DATA + DATA[600_000:], name
            pieces = iter([DATA[:500_000], b"", DATA[500_000:], b""])
            client.put("/in/x", 0, lambda: next(pieces))  # noqa: B023
            if name == "proftpd":
                with pytest.raises(PartnerError, match="451"):
                    client.put("/in/x", 500_000, lambda: next(pieces))  # noqa: B023
            else:
                client.put("/in/x", 500_000, lambda: next(pieces))  # noqa: B023
                assert (server.home / "in" / "x").read_bytes() == DATA, name
            client.rename("/in/x", "/in/y")
            client.make_directory("/in/d")
            client.make_directory("/in/d")
            client.delete("/in/y")
            (server.home / "in" / "d").rmdir()
            with pytest.raises(PartnerError) as refused:
                client.delete("/in/y")
            assert refused.value.fault is Fault.REFUSED
            assert client.resumed >= 4, name
            client.close()


def test_a_session_outlives_a_transfer_that_is_broken_off(servers: dict[str, Counterpart]) -> None:
    """A failure here in the middle of a file, or a file that grows there, is of that file alone."""

    async def fails(_: bytes = b"") -> bytes:
        raise ValueError

    for name in ("vsftpd", "proftpd", "ftpsd, explicit"):
        server = servers[name]
        server.put("out/long", DATA * 4)
        server.put("out/short", b"short")
        server.make("broken-off")

        async def orders(reactor: Any, server: Counterpart = server) -> list[bytes]:
            session, got = PartnerSession(reactor), []

            async def take(data: bytes) -> None:
                got.append(data)

            await session.open(server.contact())
            with pytest.raises(ValueError):
                await session.get("/out/long", 0, len(DATA) * 4, fails)
            with pytest.raises(PartnerError, match="longer than it was"):
                await session.get("/out/long", 0, 1000, take)
            with pytest.raises(PartnerError, match="5 of 6 bytes") as short:
                await session.get("/out/short", 0, 6, take)
            assert short.value.fault in (Fault.CHANGED, Fault.LATER)
            with pytest.raises(ValueError):
                await session.put("/broken-off/z", 0, fails)
            got.clear()
            found = await session.facts("/out/short")
            assert found is not None
            assert found.size == 5
            await session.get("/out/short", 0, 5, take)
            session.close()
            await session.ended
            return got

        assert driven(orders) == [b"short"], name


def test_whom_the_client_does_not_trust(servers: dict[str, Counterpart]) -> None:
    """An authority that is not ours, another name, and a wrong password: each is told, and nothing is sent before."""
    server = servers["vsftpd"]
    other = servers["proftpd"].authority.read_text()
    for changes, fault, text in (
        ({"authority": other}, Fault.UNTRUSTED, "not to be trusted"),
        ({"host": "127.0.0.2"}, Fault.UNTRUSTED, "not to be trusted|cannot be reached"),
        ({"password": "wrong-secret"}, Fault.LOGIN, "does not let"),
        ({"password": None}, Fault.LOGIN, "asks for a password"),
        ({"port": 1}, Fault.UNREACHABLE, "cannot be reached"),
    ):
        client = FTPSClient(server.contact(**changes))
        with pytest.raises(PartnerError, match=text) as refused:
            client.open()
        assert refused.value.fault is fault or changes.get("host")
        assert "wrong-secret" not in str(refused.value)
        assert server.password not in repr(server.contact())


class Bytes:
    """A file in memory, as a `Reader`; *before* is called before each piece."""

    def __init__(self, data: bytes, before: Any) -> None:
        self._data = data
        self._before = before

    async def read(self) -> bytes:
        self._before()
        piece, self._data = self._data[:100_000], self._data[100_000:]
        return piece

    async def close(self) -> None:
        """Nothing is open."""


def outgoing(data: bytes, before: Any = lambda: None, mark: str = "1") -> Outgoing:
    """Return *data* on its way."""

    async def opened(offset: int) -> Reader:
        return Bytes(data[offset:], before)

    return Outgoing(len(data), mark, opened, 1_600_000_000_000_000_000)


def pushed_once(
    server: Counterpart, kill_at: int | None, *, done: bool = False, data: bytes = DATA, mark: str = "1"
) -> Pushed:
    """Push *data*; the child is killed before piece *kill_at*, 0 for before the rename."""

    async def once(reactor: Any) -> Pushed:
        session = PartnerSession(reactor)
        await session.open(server.contact())
        reads = 0

        def before() -> None:
            nonlocal reads
            reads += 1
            if reads == kill_at:
                session.kill()

        async def keep() -> None:
            if kill_at == 0:
                session.kill()

        try:
            file = outgoing(data, before, mark)
            return await push(session, file, "/in/final.bin", may_be_done=done, before_rename=keep)
        finally:
            session.close()
            await session.ended

    return driven(once)


def test_a_push_that_is_killed_goes_on(servers: dict[str, Counterpart]) -> None:
    """Killed in the middle, behind the last byte and behind the rename: nothing twice, nothing half, nothing left."""
    for name in ("vsftpd", "proftpd", "ftpsd, implicit"):
        server = servers[name]
        place = server.make("in")
        final = place / "final.bin"
        for moment in (8, 0):
            with pytest.raises(PartnerError, match="died"):
                pushed_once(server, moment)
            assert not final.exists(), name
        pushed = pushed_once(server, None)
        assert (pushed.bytes, pushed.offset) == (0, len(DATA)), name
        assert final.read_bytes() == DATA, name
        assert pushed_once(server, None, done=True) == Pushed(0, len(DATA), was_done=True), name
        changed = pushed_once(server, None, data=DATA[:10], mark="2")
        assert (changed.bytes, changed.was_done) == (10, False)
        assert final.read_bytes() == DATA[:10], name
        assert [each.name for each in place.iterdir() if not each.name.startswith(".ftpsd")] == ["final.bin"], name
        final.unlink()


def test_the_temporary_name_fits() -> None:
    """It is beside the target, tells the bytes apart, and is no longer than a name may be."""
    first, second = temporary_name("/a/b.csv", "1"), temporary_name("/a/b.csv", "2")
    assert first != second
    assert first.startswith("/a/.b.csv.")
    assert first.endswith(".part")
    assert len(temporary_name("/a/" + "ü" * 255, "1").rpartition("/")[2].encode()) <= 255


def test_the_doctor_looks_at_every_server(servers: dict[str, Counterpart]) -> None:
    """`ftpsd doctor --from-outside` has no problem with any of them, and sees what vsftpd and ProFTPD lack."""
    for name, server in servers.items():
        server.make("in")
        implicit = server.mode == "implicit"
        wishes = Wishes(
            "127.0.0.1",
            "localhost",
            CLOSED if implicit else server.port,
            server.port if implicit else CLOSED,
            server.authority,
            Login(server.user, server.password),
            "/in",
            None,
        )
        findings = list(examine_from_outside(wishes, Patience(step=20.0)))
        assert [str(each) for each in findings if each.level is Level.PROBLEM] == [], name
        found = "\n".join(each.text for each in findings)
        for fact in ("an upload works", "can be resumed (REST, RETR)", "does not resume the TLS session is refused"):
            assert fact in found, (name, found)
        assert ("FEAT has no MLST" in found) == ("vsftpd" in name)
        assert ("an upload cannot be resumed (451" in found) == (name == "proftpd")
        assert not [each for each in (server.home / "in").iterdir() if each.name.startswith("ftpsd-doctor")]
