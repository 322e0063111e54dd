"""The behaviour that clients rely on across commands; each test names who."""

from __future__ import annotations

import re

import pytest

from tests.sessions import ControlClient, Server, clear_server
from tests.unit.commands.transfers import codes, download, upload
from tests.workers import InlineWorkers

# FluentFTP and WinSCP look for these in 220 and 215 and switch workarounds on.
PRODUCTS = re.compile(
    "filezilla|vsftpd|proftpd|pure-ftpd|pyftpdlib|apache|serv-u|titan|ftpsd|python|twisted", re.IGNORECASE
)


def files(**arguments: object) -> ControlClient:
    """Return a client among some files."""
    server = clear_server(**arguments)
    server.memory.put("/file", b"data")
    server.memory.put("/dir/inner", b"inner")
    return server.logged_in()


def test_no_reply_names_a_product() -> None:
    """FluentFTP, WinSCP: whatever is asked."""
    client = Server().connect(implicit=True)
    assert PRODUCTS.search(client.greeting) is None
    client.log_in()
    lines = [
        "SYST",
        "FEAT",
        "HELP",
        "STAT",
        "CSID Name=x;",
        "SITE HELP",
        "SITE WHOAMI",
        "LANG",
        "NOOP",
        "PWD",
        "XYZZY",
        "QUIT",
    ]
    assert [line for line in lines if PRODUCTS.search(client.say(line))] == []


@pytest.mark.parametrize("line", ["RETR file", "LIST", "NLST", "MLSD", "LIST missing*", "LIST dir", "MLSD dir"])
def test_downloads_and_listings_are_150_and_226(line: str) -> None:
    """rclone takes nothing else."""
    assert codes(download(files(), line)[1]) == ["150", "226"]


@pytest.mark.parametrize("line", ["STOR new", "STOR file", "APPE file", "STOU"])
def test_uploads_are_150_and_226(line: str) -> None:
    """The same."""
    assert codes(upload(files(), b"data", line)) == ["150", "226"]


@pytest.mark.parametrize("line", ["LIST", "NLST", "MLSD"])
def test_no_size_before_a_listing(line: str) -> None:
    """curl and ftplib would take it for the length."""
    assert "bytes" not in download(files(), line)[1]


@pytest.mark.parametrize("path", ["", " /", " dir"])
def test_mlsd_has_no_entries_with_dots(path: str) -> None:
    """Mirroring clients would go round in circles; lines end in CRLF."""
    data, _ = download(files(), f"MLSD{path}")
    lines = data.decode().split("\r\n")
    assert lines.pop() == ""
    assert all(re.match("type=(file|dir);", line) for line in lines)
    assert {line.partition("; ")[2] for line in lines} <= {"file", "dir", "inner"}


def test_keep_alives_cost_nothing() -> None:
    """FileZilla sends these every few seconds; no worker is asked."""
    workers = InlineWorkers()
    client = files(files=workers)
    before = workers.calls
    for line in ("NOOP", "PWD", "TYPE A", "TYPE I", "REST 0", "SYST", "STAT", "MODE S", "STRU F", "OPTS UTF8 ON"):
        assert client.say(line)[0] in "23"
    assert workers.calls == before


def test_epsv_all_holds_to_the_end_of_the_login() -> None:
    """Also after a transfer that was aborted (ProFTPD's issue 2255)."""
    client = files()
    client.say("EPSV ALL")
    client.connect_data()
    client.send("STOR new")
    client.server.reactor.settle()
    client.say("ABOR")
    assert [client.say(line)[:3] for line in ("PASV", "PORT 198,51,100,7,200,1", "EPRT |1|198.51.100.7|51201|")] == [
        "503"
    ] * 3
    client.log_in("bob")
    assert client.say("PASV").startswith("227 ")


def test_host_is_not_offered_without_hosts() -> None:
    """WinSCP and lftp send HOST only where FEAT lists it; sent all the same it does no harm (RFC 7151, 3.2)."""
    client = clear_server().connect()
    assert "HOST" not in client.say("FEAT")
    assert client.say("HOST example.org").startswith("504 ")
    client.log_in()


@pytest.mark.parametrize("line", ["TYPE I", "TYPE A", "TYPE L 8", "type a n"])
def test_type_is_200(line: str) -> None:
    """curl complains about anything else."""
    assert files().say(line).startswith("200 ")


@pytest.mark.parametrize("verb", ["HASH", "XMD5", "XCRC"])
def test_a_checksum_is_one_line(verb: str) -> None:
    """WinSCP; ProFTPD took its progress lines back (issue 1661)."""
    assert files().say(f'{verb} "file"').count("\n") == 0


def test_what_feat_promises_is_answered() -> None:
    """Nothing on the list is unknown or refused as not implemented."""
    client = Server(mode_z=True).connect(implicit=True)
    client.log_in()
    promised = [line.split()[0] for line in client.say("FEAT").split("\n")[1:-1]]
    answers = {verb: client.say(verb)[:3] for verb in promised if verb not in ("UTF8", "TVFS")}
    assert {verb for verb, answer in answers.items() if answer in ("500", "502", "421")} == set()
