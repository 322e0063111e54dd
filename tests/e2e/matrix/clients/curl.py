"""curl: one process for a job, so that its operations share a connection."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from tests.e2e.client import IPV4
from tests.e2e.matrix.client import Client, Command, Inability, Job, Operation, output

# Not tried: it hangs until its time is over, and newer versions can.
NO_ACTIVE = Inability(
    "curl 7.87 and 7.88 never begin the TLS handshake on a data connection they accepted (curl issue 10666)"
)


def _segment(operation: Operation, base: str) -> list[str]:
    match operation:
        case "put", local, remote:
            return ["-T", local, base + quote(remote)]
        case "get", remote, local:
            return ["-o", local, base + quote(remote)]
        case "reput", local, remote:
            return ["-C", "-", "-T", local, base + quote(remote)]
        case "reget", remote, local:
            return ["-C", "-", "-o", local, base + quote(remote)]
        case ("list",):
            return [base]
        case ("nlst",):
            return ["--list-only", base]
        case ("mlsd",):
            return ["-X", "MLSD", base]
        case "mkdir", name:
            return ["-I", "-o", "/dev/null", "-Q", f"MKD {name}", base]
        case "rename", old, new:
            return ["-I", "-o", "/dev/null", "-Q", f"RNFR {old}", "-Q", f"RNTO {new}", base]
        case "delete", name:
            return ["-I", "-o", "/dev/null", "-Q", f"DELE {name}", base]
        case "size", name:
            return ["-I", "-o", "head", base + quote(name)]
        case "time", name:
            return ["-R", "-o", "timed", base + quote(name)]
    raise NotImplementedError(operation)


def _commands(job: Job) -> list[Command]:
    base = f"{'ftps' if job.mode == 'implicit' else 'ftp'}://{job.url_host}:{job.port}/"
    options = ["-sS", "--ssl-reqd", "--cacert", str(job.authority), "-u", f"{job.user}:{job.password}", "-m", "30"]
    if job.data != "passive":
        options += ["--ftp-port", job.host, *(["--disable-eprt"] if job.data == "PORT" else [])]
    words = ["curl"]
    words += options
    for operation in job.operations or (("list",),):
        words += _segment(operation, base)
    commands = [Command(words)]
    match job.operations:
        case (("size", _),):
            commands.append(Command(["sh", "-c", "tr -d '\\r' < head | sed -n 's/^Content-Length: //p'"]))
        case (("time", _),):
            commands.append(Command(["stat", "-c", "%Y", "timed"]))
    return commands


def _version(build: Path) -> str:
    return output("curl", "--version").split()[1]


CURL = Client(
    name="curl",
    source="Debian: curl",
    how="`curl --ssl-reqd --cacert ca.pem -u USER:PASSWORD ftp://HOST/` for explicit TLS, `ftps://HOST:990/` "
    "for implicit. "
    "`--ssl-reqd` matters: without it curl sends the password in clear when it is told to. Several URLs of one command "
    "share a session. `-C -` resumes, `-R` takes over the time, `-X MLSD` asks for facts. Seen with "
    "libcurl 7.88: when our reply comes at once it often sleeps for a second before it opens the data connection.",
    version=_version,
    commands=_commands,
    needs=("curl",),
    cannot={"PORT": NO_ACTIVE, "EPRT": NO_ACTIVE},
    hosts={"EPRT": IPV4, "PORT": IPV4, "passive": IPV4},
    # A second each, when libcurl sleeps.
    many=10,
)
