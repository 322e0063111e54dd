"""ftputil, a file system over ftplib: its sessions are ftplib's with the recipe that resumes TLS sessions."""

from __future__ import annotations

import shutil
from pathlib import Path

import ftputil

from tests.e2e.matrix.scripts import job
from tests.e2e.matrix.scripts.ftplib_client import Client


class Session(Client):
    """A session for ftputil: connected, logged in, protected."""

    def __init__(self, host: str, user: str, password: str) -> None:
        super().__init__(context=job.context(), timeout=30)
        self.connect(host, job.PORT)
        if not job.IS_IMPLICIT:
            self.auth()
        self.sendcmd(f"USER {user}")
        self.sendcmd(f"PASS {password}")
        self.prot_p()
        self.set_pasv(job.IS_PASSIVE)


def do(host: ftputil.FTPHost, name: str, arguments: list[str]) -> None:
    """Do one operation."""
    match name, arguments:
        case "mkdir", [path]:
            host.mkdir(path)
        case "put", [local, remote]:
            host.upload(local, remote)
        case "get", [remote, local]:
            host.download(remote, local)
        case "reput", [local, remote]:
            offset = host.path.getsize(remote)
            with open(local, "rb") as source, host.open(remote, "wb", rest=offset) as target:
                source.seek(offset)
                shutil.copyfileobj(source, target)
        case "reget", [remote, local]:
            offset = Path(local).stat().st_size
            with host.open(remote, "rb", rest=offset) as source, open(local, "ab") as target:
                shutil.copyfileobj(source, target)
        case "list", []:
            print("\n".join(host.listdir(".")))
        case "size", [path]:
            print(host.path.getsize(path))
        case "time", [path]:
            print(int(host.path.getmtime(path)))
        case "rename", [old, new]:
            host.rename(old, new)
        case "delete", [path]:
            host.remove(path)
        case _:
            raise NotImplementedError(name)


def main() -> None:
    """Do the job."""
    with ftputil.FTPHost(job.HOST, job.USER, job.PASSWORD, session_factory=Session) as host:
        host.use_list_a_option = False
        host.set_time_shift(0)
        for name, *arguments in job.operations():
            do(host, name, arguments)


if __name__ == "__main__":
    main()
