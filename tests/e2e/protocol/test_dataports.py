"""Data ports: PASV, EPSV, PORT, EPRT, over IPv4 and IPv6."""

from __future__ import annotations

import ftplib
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import IPV6, Sessions, begin, code, content, download, listing, next_code, read_all, reply, upload
from tests.e2e.daemon import Account, Daemon


@pytest.fixture
def ftp6(ipv6: None, sessions: Sessions, account: Account) -> ftplib.FTP:
    """A session over IPv6."""
    return sessions.log_in(account, IPV6)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port of the client's own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


def test_pasv_answers_in_the_one_form_all_clients_read(ftp: ftplib.FTP, daemon: Daemon) -> None:
    """The text of 227 is exact: NAT helpers and old clients match it."""
    answer = reply(ftp, "PASV")
    found = re.fullmatch(r"227 Entering Passive Mode \(127,0,0,1,(\d+),(\d+)\)", answer.rstrip("."))
    assert found is not None, answer
    assert int(found[1]) * 256 + int(found[2]) in daemon.ports.passive


def test_epsv_answers_without_a_period(ftp: ftplib.FTP, daemon: Daemon) -> None:
    """Some clients choke on one behind the bracket."""
    found = re.fullmatch(r"229 [^()]*\(\|\|\|(\d+)\|\)", reply(ftp, "EPSV"))
    assert found is not None
    assert int(found[1]) in daemon.ports.passive


def test_pasv_carries_transfers(ftp: ftplib.FTP, home: Path) -> None:
    """ftplib's way over IPv4."""
    upload(ftp, "file", content(100_000))
    assert download(ftp, "file") == content(100_000)


def test_epsv_carries_transfers(ftp: ftplib.FTP, home: Path) -> None:
    """The way curl and modern clients go."""
    (home / "file").write_bytes(content(100_000))
    connection, _ = begin(ftp, "RETR file")
    assert read_all(connection) == content(100_000)
    assert next_code(ftp) == 226


@pytest.mark.parametrize("size", [0, 1000, 300_000])
def test_port_carries_transfers(ftp: ftplib.FTP, home: Path, size: int) -> None:
    """The server connects to the client, up and down."""
    ftp.set_pasv(False)
    upload(ftp, "file", content(size))
    assert download(ftp, "file") == content(size)
    assert listing(ftp, "NLST") == ["file"]


def test_eprt_carries_transfers(ftp: ftplib.FTP, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same by the newer command, over IPv4."""
    (home / "file").write_bytes(content(1000))
    ftp.set_pasv(False)
    monkeypatch.setattr(ftp, "sendport", ftp.sendeprt)
    assert download(ftp, "file") == content(1000)


def test_eprt_takes_the_ipv6_mapping_of_an_ipv4_address(
    ftp: ftplib.FTP, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dual-stack client names ::ffff:127.0.0.1, over a control connection that is IPv4."""
    (home / "file").write_bytes(content(1000))
    ftp.set_pasv(False)
    monkeypatch.setattr(ftp, "sendport", lambda host, port: ftp.sendcmd(f"EPRT |2|::ffff:{host}|{port}|"))
    assert download(ftp, "file") == content(1000)


def test_ipv4_clients_of_the_dual_stack_listener_are_ipv4(daemon: Daemon, sessions: Sessions, account: Account) -> None:
    """The listener on :: takes both families, and no IPv4 client is ever called ::ffff: anything."""
    ftp = sessions.log_in(account)
    assert reply(ftp, "PASV").startswith("227 Entering Passive Mode (127,0,0,1,")
    assert reply(ftp, "EPSV 2").endswith("(1)")
    assert daemon.wait_for_event("logged-in", user=account.name)["peer"] == "127.0.0.1"


def test_epsv_all_over_ipv6(ftp6: ftplib.FTP, home: Path) -> None:
    """EPSV is all there is then; EPRT of the other family, PASV and PORT are refused."""
    (home / "file").write_bytes(content(10))
    lines = ("EPSV 1", "EPSV ALL", "PASV", "PORT 127,0,0,1,200,200", "EPRT |2|::1|51400|")
    assert [code(ftp6, line) for line in lines][:2] == [522, 200]
    assert [code(ftp6, line) for line in lines[3:]] == [503, 503]
    connection, _ = begin(ftp6, "RETR file")
    assert read_all(connection) == content(10)
    assert next_code(ftp6) == 226


def test_epsv_carries_transfers_over_ipv6(ftp6: ftplib.FTP) -> None:
    """Up and down to ::1."""
    upload(ftp6, "file", content(100_000))
    assert download(ftp6, "file") == content(100_000)


def test_eprt_carries_transfers_over_ipv6(ftp6: ftplib.FTP) -> None:
    """The server connects to ::1."""
    ftp6.set_pasv(False)
    upload(ftp6, "file", content(100_000))
    assert download(ftp6, "file") == content(100_000)


def test_pasv_and_port_are_for_ipv4_only(ftp6: ftplib.FTP) -> None:
    """Over IPv6 PASV cannot say where, and PORT names another host."""
    assert [code(ftp6, line) for line in ("PASV", "PORT 127,0,0,1,200,200")] == [522, 504]


def test_feat_over_ipv6_does_not_promise_pasv(ftp6: ftplib.FTP) -> None:
    """Old clients choose by FEAT."""
    features = [line.strip() for line in reply(ftp6, "FEAT").split("\n")]
    assert ("PASV" in features, "EPSV" in features) == (False, True)


def test_epsv_names_the_protocol_it_can(ftp: ftplib.FTP) -> None:
    """EPSV 1 is IPv4, EPSV 2 would be IPv6, EPSV 3 is nothing."""
    assert [code(ftp, line) for line in ("EPSV 1", "EPSV 2", "EPSV 3", "EPSV x")] == [229, 522, 522, 501]
    assert reply(ftp, "EPSV 2").endswith("(1)")


def test_epsv_all_refuses_everything_else(ftp: ftplib.FTP, home: Path) -> None:
    """After it PASV, PORT and EPRT are refused until the end of the session (RFC 2428, 4)."""
    (home / "file").write_bytes(content(10))
    lines = ("EPSV ALL", "PASV", "PORT 127,0,0,1,200,200", "EPRT |1|127.0.0.1|51400|")
    assert [code(ftp, line) for line in lines] == [200, 503, 503, 503]
    connection, _ = begin(ftp, "RETR file")
    assert read_all(connection) == content(10)
    assert [next_code(ftp), code(ftp, "PASV")] == [226, 503]


@pytest.mark.parametrize(
    "line",
    [
        "PORT 10,1,2,3,200,200",
        "PORT 127,0,0,2,200,200",
        "EPRT |1|10.1.2.3|51400|",
        "PORT 127,0,0,1,0,25",
        "PORT 127,0,0,1,3,255",
        "EPRT |1|127.0.0.1|1023|",
    ],
)
def test_foreign_addresses_and_privileged_ports_are_refused(ftp: ftplib.FTP, line: str) -> None:
    """No FTP bounce: 504, and no data port is agreed."""
    assert [code(ftp, line), code(ftp, "LIST")] == [504, 425]


@pytest.mark.parametrize(
    "line",
    ["PORT 1,2,3", "PORT a,b,c,d,e,f", "PORT 256,0,0,1,1,1", "EPRT x", "EPRT |1|127.0.0.1|99999|", "EPRT |1|x|1|"],
)
def test_an_address_that_is_none_is_refused(ftp: ftplib.FTP, line: str) -> None:
    """501."""
    assert code(ftp, line) == 501


def test_an_unknown_protocol_names_the_known_ones(ftp: ftplib.FTP) -> None:
    """522 with the list (RFC 2428, 2)."""
    assert reply(ftp, "EPRT |3|x|5282|").startswith("522")
    assert "(1,2)" in reply(ftp, "EPRT |3|x|5282|")


def test_an_address_of_the_other_family_is_refused(ftp: ftplib.FTP) -> None:
    """522: data go where the control connection comes from, which is of one family."""
    assert reply(ftp, "EPRT |2|::1|51400|") == "522 Network protocol not supported, use (1)"


def test_a_port_nobody_listens_on_is_reported(ftp: ftplib.FTP, listener: socket.socket, home: Path) -> None:
    """425, and the session lives on."""
    (home / "file").write_bytes(b"x")
    port = listener.getsockname()[1]
    listener.close()
    ftp.sendport("127.0.0.1", port)
    ftp.putcmd("RETR file")
    codes = [next_code(ftp)]
    if codes == [150]:
        codes.append(next_code(ftp))
    assert codes[-1] == 425
    assert code(ftp, "NOOP") == 200


def test_a_transfer_needs_a_data_port(ftp: ftplib.FTP) -> None:
    """425 says what to do."""
    assert reply(ftp, "LIST") == "425 Use PASV or PORT first."


def test_a_data_port_is_good_for_one_transfer(ftp: ftplib.FTP, home: Path) -> None:
    """The second needs a PASV of its own."""
    (home / "file").write_bytes(b"x")
    download(ftp, "file")
    assert code(ftp, "RETR file") == 425


def test_a_data_port_survives_a_command_that_fails(ftp: ftplib.FTP, home: Path) -> None:
    """PASV, RETR of nothing, then LIST over the same port: Netscape followed links this way."""
    assert ftp.sock is not None
    host, port = ftplib.parse229(ftp.sendcmd("EPSV"), ftp.sock.getpeername())
    assert code(ftp, "RETR missing") == 550
    (home / "file").write_bytes(b"content")
    with socket.create_connection((host, port), 20) as connection:
        assert code(ftp, "RETR file") == 150
        if hasattr(ftp, "secured"):
            connection = ftp.secured(connection)
        assert read_all(connection) == b"content"
    assert next_code(ftp) == 226


def test_a_second_pasv_replaces_the_first(ftp: ftplib.FTP, home: Path) -> None:
    """Clients that change their mind hold one port, not many."""
    (home / "file").write_bytes(content(10))
    for _ in range(200):
        ftp.sendcmd("EPSV")
    assert download(ftp, "file") == content(10)
