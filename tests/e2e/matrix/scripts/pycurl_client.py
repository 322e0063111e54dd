"""
pycurl with libcurl's GnuTLS build, one handle for the whole job; run by the Python of the distribution, which has it.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pycurl

from tests.e2e.matrix.scripts import job

SCHEME = "ftps" if job.IS_IMPLICIT else "ftp"
HOST = f"[{job.HOST}]" if ":" in job.HOST else job.HOST
BASE = f"{SCHEME}://{HOST}:{job.PORT}/"


def prepared(curl: pycurl.Curl, path: str = "") -> pycurl.Curl:
    """Forget the operation before, but not the connection."""
    curl.reset()
    curl.setopt(pycurl.URL, BASE + quote(path))
    curl.setopt(pycurl.USERPWD, f"{job.USER}:{job.PASSWORD}")
    curl.setopt(pycurl.USE_SSL, pycurl.USESSL_ALL)
    curl.setopt(pycurl.CAINFO, job.AUTHORITY)
    curl.setopt(pycurl.TIMEOUT, 30)
    if not job.IS_PASSIVE:
        curl.setopt(pycurl.FTPPORT, job.HOST)
        curl.setopt(pycurl.FTP_USE_EPRT, os.environ["FTP_DATA"] == "EPRT")
    return curl


def quoted(curl: pycurl.Curl, *commands: str) -> None:
    """Send *commands* and transfer nothing."""
    prepared(curl).setopt(pycurl.QUOTE, list(commands))
    curl.setopt(pycurl.NOBODY, True)
    curl.setopt(pycurl.WRITEDATA, BytesIO())
    curl.perform()


def send(curl: pycurl.Curl, local: str, remote: str, *, goes_on: bool) -> None:
    """Upload a file; libcurl itself asks for the size of what is there and skips as much of the file."""
    prepared(curl, remote).setopt(pycurl.UPLOAD, True)
    with open(local, "rb") as source:
        curl.setopt(pycurl.READDATA, source)
        # libcurl skips what the server has.
        curl.setopt(pycurl.SEEKFUNCTION, lambda offset, origin: source.seek(offset, origin) * 0)
        curl.setopt(pycurl.INFILESIZE_LARGE, Path(local).stat().st_size)
        if goes_on:
            curl.setopt(pycurl.RESUME_FROM_LARGE, -1)
        curl.perform()


def receive(curl: pycurl.Curl, remote: str, local: str, *, goes_on: bool) -> None:
    """Download a file."""
    prepared(curl, remote)
    with open(local, "ab" if goes_on else "wb") as target:
        curl.setopt(pycurl.WRITEDATA, target)
        if goes_on:
            curl.setopt(pycurl.RESUME_FROM_LARGE, Path(local).stat().st_size)
        curl.perform()


def shown(curl: pycurl.Curl) -> None:
    """Print what a listing brings."""
    body = BytesIO()
    curl.setopt(pycurl.WRITEDATA, body)
    curl.perform()
    print(body.getvalue().decode())


def asked(curl: pycurl.Curl, path: str, answer: int) -> None:
    """Print what is known about a file."""
    prepared(curl, path).setopt(pycurl.NOBODY, True)
    curl.setopt(pycurl.OPT_FILETIME, True)
    curl.setopt(pycurl.WRITEDATA, BytesIO())
    curl.perform()
    print(int(curl.getinfo(answer)))


def do(curl: pycurl.Curl, name: str, arguments: list[str]) -> None:
    """Do one operation."""
    match name, arguments:
        case "mkdir", [path]:
            quoted(curl, f"MKD {path}")
        case "put" | "reput", [local, remote]:
            send(curl, local, remote, goes_on=name == "reput")
        case "get" | "reget", [remote, local]:
            receive(curl, remote, local, goes_on=name == "reget")
        case "list", []:
            shown(prepared(curl))
        case "nlst", []:
            prepared(curl).setopt(pycurl.DIRLISTONLY, True)
            shown(curl)
        case "mlsd", []:
            prepared(curl).setopt(pycurl.CUSTOMREQUEST, "MLSD")
            shown(curl)
        case "size", [path]:
            asked(curl, path, pycurl.CONTENT_LENGTH_DOWNLOAD)
        case "time", [path]:
            asked(curl, path, pycurl.INFO_FILETIME)
        case "rename", [old, new]:
            quoted(curl, f"RNFR {old}", f"RNTO {new}")
        case "delete", [path]:
            quoted(curl, f"DELE {path}")
        case _:
            raise NotImplementedError(name)


def main() -> None:
    """Do the job."""
    curl = pycurl.Curl()
    operations = list(job.operations())
    if not operations:
        quoted(curl)
    for name, *arguments in operations:
        do(curl, name, arguments)
    curl.close()


if __name__ == "__main__":
    main()
