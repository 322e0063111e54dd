"""FTP bounce: the server connects for nobody to a third party, nor to a service of the client's own machine."""

from __future__ import annotations

import ftplib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import CLEAR, EXPLICIT, Way, code, content, download
from tests.tools import missing

VICTIM = "127.0.0.2"


@pytest.fixture(params=[CLEAR, EXPLICIT], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """In clear and under TLS."""
    chosen: Way = request.param
    return chosen


@pytest.fixture
def victim() -> Iterator[socket.socket]:
    """A service on another address, which nobody shall connect to."""
    try:
        server = socket.create_server((VICTIM, 0))
    except OSError:
        missing(f"the address {VICTIM}")
    with server:
        server.setblocking(False)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("form", ["PORT", "EPRT", "EPRT mapped"])
def test_a_third_party_is_not_connected_to(ftp: ftplib.FTP, home: Path, victim: socket.socket, form: str) -> None:
    """504; a transfer then has no data port, and an honest one of the same session goes on."""
    (home / "file").write_bytes(content(1000))
    port = victim.getsockname()[1]
    numbers = ",".join([*VICTIM.split("."), str(port // 256), str(port % 256)])
    line = {
        "PORT": f"PORT {numbers}",
        "EPRT": f"EPRT |1|{VICTIM}|{port}|",
        "EPRT mapped": f"EPRT |2|::ffff:{VICTIM}|{port}|",
    }[form]
    for command in ("RETR file", "STOR other", "LIST"):
        assert [code(ftp, line), code(ftp, command)] == [504, 425]
    ftp.set_pasv(False)
    assert download(ftp, "file") == content(1000)


def test_the_port_agreed_before_is_gone(ftp: ftplib.FTP, home: Path, victim: socket.socket) -> None:
    """After a refused PORT no port is agreed: neither the victim's nor the earlier one."""
    (home / "file").write_bytes(content(1000))
    with socket.create_server(("127.0.0.1", 0)) as mine:
        mine.setblocking(False)
        assert ftp.sendport("127.0.0.1", mine.getsockname()[1]).startswith("200")
        port = victim.getsockname()[1]
        assert code(ftp, f"EPRT |1|{VICTIM}|{port}|") == 504
        assert code(ftp, "RETR file") == 425
        with pytest.raises(BlockingIOError):
            mine.accept()


@pytest.mark.parametrize("port", [1, 22, 25, 1023])
def test_services_of_the_clients_machine_are_not_connected_to(ftp: ftplib.FTP, port: int) -> None:
    """No privileged port, by either command."""
    assert code(ftp, f"PORT 127,0,0,1,{port // 256},{port % 256}") == 504
    assert code(ftp, f"EPRT |1|127.0.0.1|{port}|") == 504
