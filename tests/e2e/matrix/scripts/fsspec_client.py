"""fsspec's FTPFileSystem: over ftplib as it is, which never resumes a TLS session."""

from __future__ import annotations

import calendar
import time

from fsspec.implementations.ftp import FTPFileSystem

from tests.e2e.matrix.scripts import job


def do(system: FTPFileSystem, name: str, arguments: list[str]) -> None:
    """Do one operation."""
    match name, arguments:
        case "mkdir", [path]:
            system.mkdir(path)
        case "put", [local, remote]:
            system.put_file(local, remote)
        case "get", [remote, local]:
            system.get_file(remote, local)
        case "mlsd", []:
            print("\n".join(path.strip("/") for path in system.ls("/", detail=False)))
        case "size", [path]:
            print(system.size(path))
        case "time", [path]:
            print(calendar.timegm(time.strptime(system.info(path)["modify"][:14], "%Y%m%d%H%M%S")))
        case "rename", [old, new]:
            system.mv(old, new)
        case "delete", [path]:
            system.rm_file(path)
        case _:
            raise NotImplementedError(name)


def main() -> None:
    """Do the job."""
    tls = "tls" if job.IS_IMPLICIT else True
    system = FTPFileSystem(job.HOST, job.PORT, job.USER, job.PASSWORD, tls=tls)
    if job.IS_IMPLICIT:
        system.ftp.prot_p()
    for name, *arguments in job.operations():
        do(system, name, arguments)
    system.ftp.quit()


if __name__ == "__main__":
    main()
