"""The control connection: unknown verbs, missing arguments, bad sequences, pipelining; and what the server tells."""

from __future__ import annotations

import ftplib
from pathlib import Path

import pytest

from tests.e2e.client import Sessions, code, next_code, reply


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("XYZZY", 500),
        ("XYZZY with argument", 500),
        ("GET / HTTP/1.1", 500),
        ("RETR", 501),
        ("STOR", 501),
        ("CWD", 501),
        ("MKD", 501),
        ("RNFR", 501),
        ("SIZE", 501),
        ("TYPE", 501),
        ("REST", 501),
        ("PORT", 501),
        ("NOOP x", 501),
        ("PWD x", 501),
        ("RNTO x", 503),
        ("RETR x", 425),
        ("STOR x", 425),
        ("APPE x", 425),
        ("STOU", 425),
        ("LIST", 425),
        ("NLST", 425),
        ("MLSD", 425),
        ("PASS x", 202),
        ("STRU F", 200),
        ("STRU R", 504),
        ("STRU X", 501),
        ("MODE S", 200),
        ("MODE Z", 504),
        ("MODE X", 501),
        ("ALLO 100", 202),
        ("ALLO 100 R 10", 202),
        ("ALLO x", 501),
        ("SMNT x", 502),
        ("OPTS UTF8", 200),
        ("OPTS UTF8 ON", 200),
        ("OPTS UTF-8 ON", 200),
        ("OPTS XYZZY", 501),
        ("CLNT test 1.0", 200),
        ("AUTH GSSAPI", 504),
    ],
)
def test_every_line_gets_its_reply(ftp: ftplib.FTP, line: str, expected: int) -> None:
    """One reply with the right code, and the session lives on."""
    assert [code(ftp, line), code(ftp, "NOOP")] == [expected, 200]


def test_an_unknown_verb_is_not_repeated(ftp: ftplib.FTP) -> None:
    """The reply holds nothing the client sent: it could be read by somebody else's browser."""
    assert reply(ftp, "<script>") == "500 Unknown command."


def test_verbs_may_be_in_any_case(ftp: ftplib.FTP) -> None:
    """And spaces before them are ignored."""
    assert [code(ftp, line) for line in ("noop", "NoOp", "  NOOP", "type i")] == [200] * 4


def test_a_line_may_end_in_lf_alone(ftp: ftplib.FTP) -> None:
    """Or in too many carriage returns; an empty line is nothing."""
    assert ftp.sock is not None
    ftp.sock.sendall(b"NOOP\nNOOP\r\r\n\r\nNOOP\r\n")
    assert [next_code(ftp) for _ in range(3)] == [200] * 3
    assert code(ftp, "PWD") == 257


def test_a_line_may_arrive_byte_by_byte(ftp: ftplib.FTP) -> None:
    """The line end counts."""
    assert ftp.sock is not None
    for byte in b"MKD byte by byte\r\n":
        ftp.sock.sendall(bytes([byte]))
    assert next_code(ftp) == 257


def test_pipelined_commands_are_answered_in_order(ftp: ftplib.FTP, home: Path) -> None:
    """Each one reply, each after the one before has had its effect."""
    assert ftp.sock is not None
    lines = ["MKD a", "CWD a", "PWD", "XYZZY", "NOOP", "CDUP", "RMD a", "CWD a", "REST 5", "PWD"]
    ftp.sock.sendall("".join(f"{line}\r\n" for line in lines).encode())
    assert [next_code(ftp) for _ in lines] == [257, 250, 257, 500, 200, 250, 250, 550, 350, 257]


def test_many_pipelined_commands_are_all_answered(ftp: ftplib.FTP) -> None:
    """More than the server takes at once: the rest waits and is not lost."""
    assert ftp.sock is not None
    ftp.sock.sendall(b"NOOP\r\n" * 1000 + b"PWD\r\n")
    assert [next_code(ftp) for _ in range(1001)] == [200] * 1000 + [257]


def test_feat_lists_what_is_offered(ftp: ftplib.FTP) -> None:
    """One feature a line, each behind exactly one space, between 211- and 211."""
    first, *middle, last = reply(ftp, "FEAT").split("\n")
    assert (first[:4], last[:4]) == ("211-", "211 ")
    assert all(line.startswith(" ") and line[1] != " " for line in middle)
    features = {line.split()[0] for line in middle}
    assert features >= {"AUTH", "EPSV", "EPRT", "MDTM", "MFMT", "MLST", "PBSZ", "PROT", "REST", "SIZE", "TVFS", "UTF8"}


def test_feat_is_the_same_before_and_after_login(sessions: Sessions, ftp: ftplib.FTP) -> None:
    """Clients ask once."""
    assert reply(sessions.connect(), "FEAT") == reply(ftp, "FEAT")


def test_syst_says_unix(ftp: ftplib.FTP) -> None:
    """Clients choose their listing parser by it."""
    assert reply(ftp, "SYST") == "215 UNIX Type: L8"


def test_help_lists_the_commands(ftp: ftplib.FTP) -> None:
    """All of them, or the syntax of one."""
    everything = reply(ftp, "HELP")
    assert everything.startswith("214-")
    assert {"RETR", "STOR", "EPSV", "AUTH"} <= set(everything.split())
    assert reply(ftp, "HELP RETR") == "214 Syntax: RETR <SP> <pathname>"
    assert code(ftp, "HELP XYZZY") == 502


def test_the_greeting_names_no_product(sessions: Sessions) -> None:
    """Clients switch on workarounds for names they know, and attackers look for versions."""
    welcome = sessions.connect().getwelcome()
    assert welcome is not None
    assert not any(name in welcome.lower() for name in ("ftpd", "filezilla", "twisted", "python"))
