"""RFC 959, 5.4: whatever a command is given, its reply is one of those the RFC lists for it."""

from __future__ import annotations

import ftplib

import pytest

from tests.e2e.client import reply
from tests.e2e.conformance.conversation import furnish
from tests.e2e.daemon import Account

# Every command may be answered so: unknown, misspelt, not done, too early, no login, closing; and ProFTPD, vsftpd and
# FileZilla Server all say 550 where the RFC's list of a command about files has 450 or 553 only.
ALWAYS = "421 500 501 502 503 530"
# By the letter, with what later RFCs add: 425 and 521 (4217, 12.2), 504 for a port below 1024 (2577, 3), 522 (2428),
# 550 of SIZE, MDTM and MLST (3659). 552 of ALLO is ours: told before the upload, not after it.
LISTED = {
    "CWD": "250 550",
    "CDUP": "200 250 550",
    "REIN": "120 220",
    "PORT": "200 504",
    "EPRT": "200 504 522",
    "PASV": "227",
    "EPSV": "200 229 522",
    "TYPE": "200 504",
    "STRU": "200 504",
    "MODE": "200 504",
    "ALLO": "200 202 504 552",
    "REST": "350 504",
    "STOR": "425 450 452 532 553 550",
    "STOU": "425 450 452 532 553 550",
    "APPE": "425 450 452 532 553 550",
    "RETR": "425 450 550",
    "LIST": "425 450 550",
    "NLST": "425 450 550",
    "MLSD": "425 550",
    "MLST": "250 550",
    "STAT": "211 212 213 450 550",
    "HELP": "211 214",
    "SITE": "200 202 214",
    "SMNT": "202 250 550",
    "RNFR": "350 450 550",
    "RNTO": "250 532 553 550",
    "DELE": "250 450 550",
    "RMD": "250 550",
    "MKD": "257 550",
    "PWD": "257 550",
    "SYST": "215",
    "NOOP": "200",
    "ABOR": "225 226",
    "SIZE": "213 550",
    "MDTM": "213 550",
    "ACCT": "202 230",
    "AUTH": "234 334 431 504 534",
    "PBSZ": "200",
    "PROT": "200 431 504 534 536",
    "FEAT": "211",
    "OPTS": "200 451",
}
ARGUMENTS = (
    *(
        "",
        " ",
        " x",
        " file",
        " dir",
        " dir/",
        " file/x",
        " missing/x",
        " /",
        " .",
        " ..",
        " ../../../etc/passwd",
        " ~",
    ),
    *(" *", " -la", " -la dir", " %s%s%n", " " + "x" * 300, " " + "x/" * 2000, " a\0b"),
    *(
        " a\x1b[2Jb",
        " a\tb",
        ' "file"',
        " \N{EURO SIGN}",
        " 0",
        " -1",
        " 9" + "9" * 40,
        " 1 2 3",
        " A N",
        " P",
        " |",
        ",",
    ),
)


@pytest.mark.parametrize("verb", LISTED)
def test_replies_are_those_of_the_list(ftp: ftplib.FTP, account: Account, verb: str) -> None:
    """With arguments of every kind, the session living on after each."""
    assert ftp.sock is not None
    furnish(account.home)
    allowed = f"{ALWAYS} {LISTED[verb]}".split()
    wrong = []
    for argument in ARGUMENTS:
        if verb == "REIN" and not argument.strip():
            continue
        ftp.sock.sendall(f"{verb}{argument}\r\n".encode())
        answer = ftp.getmultiline()
        if answer[:3] not in allowed:
            wrong.append((verb + argument, answer))
    assert wrong == []
    assert reply(ftp, "NOOP").startswith("200")
