"""Python's ftplib: as it is, or (`reuse`) with the ten lines that resume the TLS session on data connections."""

from __future__ import annotations

import calendar
import ftplib
import socket
import ssl
import sys
import time
from pathlib import Path

from tests.e2e.matrix.scripts import job

REUSE = "reuse" in sys.argv[1:]


class Client(ftplib.FTP_TLS):
    """
    The recipe of docs/clients.md: resume the control connection's session, and TLS from the first byte where asked.
    """

    def connect(
        self, host: str = "", port: int = 0, timeout: float = -999, source_address: tuple[str, int] | None = None
    ) -> str:
        """Connect; with implicit TLS before the greeting."""
        if not job.IS_IMPLICIT:
            return super().connect(host, port)
        self.host, self.port = host, port
        plain = socket.create_connection((host, port), 30)
        self.af = plain.family
        self.sock = self.context.wrap_socket(plain, server_hostname=host)
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        return self.welcome

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Begin a transfer."""
        if not REUSE:
            return super().ntransfercmd(cmd, rest)
        plain, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        return self.context.wrap_socket(plain, server_hostname=self.host, session=self.sock.session), size


def do(ftp: ftplib.FTP_TLS, name: str, arguments: list[str]) -> None:
    """Do one operation."""
    match name, arguments:
        case "mkdir", [path]:
            ftp.mkd(path)
        case "put", [local, remote]:
            with open(local, "rb") as source:
                ftp.storbinary(f"STOR {remote}", source)
        case "get", [remote, local]:
            with open(local, "wb") as target:
                ftp.retrbinary(f"RETR {remote}", target.write)
        case "reput", [local, remote]:
            with open(local, "rb") as source:
                offset = ftp.size(remote)
                assert offset
                source.seek(offset)
                ftp.storbinary(f"STOR {remote}", source, rest=offset)
        case "reget", [remote, local]:
            with open(local, "ab") as target:
                ftp.retrbinary(f"RETR {remote}", target.write, rest=Path(local).stat().st_size)
        case "list", []:
            ftp.retrlines("LIST")
        case "nlst", []:
            print("\n".join(ftp.nlst()))
        case "mlsd", []:
            print("\n".join(path for path, facts in ftp.mlsd() if facts["type"] in ("file", "dir")))
        case "size", [path]:
            print(ftp.size(path))
        case "time", [path]:
            print(calendar.timegm(time.strptime(ftp.sendcmd(f"MDTM {path}")[4:18], "%Y%m%d%H%M%S")))
        case "rename", [old, new]:
            ftp.rename(old, new)
        case "delete", [path]:
            ftp.delete(path)
        case _:
            raise NotImplementedError(name)


def main() -> None:
    """Do the job."""
    ftp = Client(context=job.context(), timeout=30)
    ftp.connect(job.HOST, job.PORT)
    if job.IS_IMPLICIT:
        ftp.sendcmd(f"USER {job.USER}")
        ftp.sendcmd(f"PASS {job.PASSWORD}")
    else:
        ftp.login(job.USER, job.PASSWORD)
    ftp.prot_p()
    ftp.set_pasv(job.IS_PASSIVE)
    ftp.voidcmd("TYPE I")
    for name, *arguments in job.operations():
        do(ftp, name, arguments)
    ftp.quit()


if __name__ == "__main__":
    main()
