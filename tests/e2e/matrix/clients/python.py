"""Clients written in Python, each a script of its own process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from tests.e2e.client import IPV4
from tests.e2e.matrix.client import Client, Command, Inability, Job, output
from tests.e2e.matrix.clients.curl import NO_ACTIVE as NO_ACTIVE_CURL

DEBIAN_PYTHON = Path("/usr/bin/python3")
DEBIAN_PYCURL = Path("/usr/share/doc/python3-pycurl")
NO_ACTIVE = "is passive only"
NO_MLSD_CALL = Inability("there is no call for it")
HERE = "tests/e2e/matrix/scripts"


# Not `twisted.protocols.ftp`: it would make the reactor, which no two processes may share.
TWISTED_TLS = ("OpenSSL.SSL", "twisted.internet.ssl", "twisted.internet.epollreactor", "twisted.protocols.tls")


def script(
    name: str, *arguments: str, python: str = sys.executable, loads: Sequence[str] = ()
) -> Callable[[Job], Sequence[Command]]:
    """Return what runs a script of this project for a job, forked from a process that has loaded *loads*."""
    loaded = [f"--{module}" for module in ("ssl", "pathlib", "calendar", *loads)]
    command = Command(
        [python, "-m", "tests.e2e.matrix.scripts.resident", *loaded, name, *arguments],
        is_resident=True,
    )
    return lambda job: [command]


def _python(build: Path) -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _package(name: str) -> Callable[[Path], str]:
    return lambda build: version(name)


FTPLIB = Client(
    name="Python ftplib",
    source="Python itself",
    how='`FTP_TLS(context=ssl.create_default_context(cafile="ca.pem"))`, `login`, then `prot_p()`. '
    "It needs the user's `data_session_reuse: offered`, or the ten lines of the next client.",
    version=_python,
    commands=script("ftplib_client", loads=["ftplib"]),
    offered="`FTP_TLS` begins a TLS session of its own for every data connection (CPython issue 63699)",
    cannot={},
)
FTPLIB_REUSE = Client(
    name="Python ftplib, resuming",
    source="Python itself",
    how=f"A subclass that passes `session=self.sock.session` for data connections, and for implicit TLS wraps "
    f"the control "
    f"connection before the greeting: `{HERE}/ftplib_client.py`.",
    version=_python,
    commands=script("ftplib_client", "reuse", loads=["ftplib"]),
)
AIOFTP = Client(
    name="aioftp",
    source="PyPI: aioftp",
    how="`Client(ssl=context)` for implicit TLS; `Client()` and `upgrade_to_tls(context)` before `login` for explicit. "
    "It opens TLS on the data connection before it sends the command.",
    version=_package("aioftp"),
    commands=script("aioftp_client", loads=["aioftp"]),
    cannot={
        "PORT": Inability(f"aioftp {NO_ACTIVE} (`passive_commands` is all it knows)"),
        "EPRT": Inability(f"aioftp {NO_ACTIVE}"),
        "NLST": Inability("aioftp lists with MLSD, or with LIST"),
    },
)
TWISTED = Client(
    name="Twisted FTPClient",
    source="PyPI: Twisted",
    how=f"It knows no TLS. `{HERE}/twisted_client.py` adds it in some forty lines, with resumption, and UTF-8 names.",
    version=_package("Twisted"),
    commands=script("twisted_client", loads=TWISTED_TLS),
    cannot={
        "put-0": Inability(
            "`FTPClient` closes an empty upload before the TLS handshake is over, and Twisted then aborts the "
            "connection, so that nothing is stored",
            tried=True,
        ),
        "EPRT": Inability("FTPClient sends PORT only, so active mode needs IPv4"),
    },
)
FTPUTIL = Client(
    name="ftputil",
    source="PyPI: ftputil",
    how=f"A `session_factory` that returns the resuming ftplib session, connected and with `prot_p()`: "
    f"`{HERE}/ftputil_client.py`. Set `use_list_a_option = False`, and `set_time_shift(0)`: ftpsd's listings "
    f"are in UTC. It "
    "opens a second session for files.",
    version=_package("ftputil"),
    commands=script("ftputil_client", "reuse", loads=["ftputil"]),
    cannot={
        "NLST": Inability("ftputil reads directories with LIST"),
        "MLSD": Inability("ftputil reads directories with LIST"),
        "time": Inability("ftputil reads the time from LIST, which for old files has the day alone", tried=True),
    },
    sessions=2,
)
FSSPEC = Client(
    name="fsspec",
    source="PyPI: fsspec",
    how='`filesystem("ftp", tls=True, ...)` for explicit TLS; `tls="tls"` for implicit, and then `fs.ftp.prot_p()` '
    "before the first transfer. It does not check certificates.",
    version=_package("fsspec"),
    commands=script("fsspec_client", loads=["fsspec.implementations.ftp"]),
    offered="it uses `FTP_TLS` as it is",
    cannot={
        "reget": Inability("fsspec has no call that goes on with a file"),
        "reput": Inability("fsspec has no call that goes on with a file"),
        "LIST": Inability("fsspec uses MLSD where the server has it"),
        "NLST": Inability("fsspec uses MLSD where the server has it"),
        "PORT": Inability("fsspec is passive only, unless one reaches into `fs.ftp`"),
        "EPRT": Inability("fsspec is passive only, unless one reaches into `fs.ftp`"),
    },
)


def _pycurl(build: Path) -> str:
    said = output(DEBIAN_PYTHON, "-c", "import pycurl; print(pycurl.version)")
    return ", ".join(word for word in said.split() if word.startswith(("PycURL", "libcurl", "GnuTLS")))


PYCURL = Client(
    name="pycurl (GnuTLS)",
    source="Debian: python3-pycurl",
    how="`USE_SSL = USESSL_ALL`, `CAINFO`, one `Curl` object for all transfers. Going on with an upload needs a "
    "`SEEKFUNCTION`. Seen with libcurl 7.88: when our reply comes at once it often sleeps for a second before it opens "
    "the data connection.",
    version=_pycurl,
    commands=script("pycurl_client", python=str(DEBIAN_PYTHON), loads=["pycurl"]),
    needs=("python3",),
    files=(DEBIAN_PYCURL,),
    cannot={"PORT": NO_ACTIVE_CURL, "EPRT": NO_ACTIVE_CURL},
    hosts={"EPRT": IPV4},
    # A second each.
    many=10,
)
