"""
ftp-ssl: the BSD client with TLS, driven through its standard input; it has no exit code, its effects are looked at.
"""

from __future__ import annotations

from pathlib import Path

from tests.e2e.matrix.client import Client, Command, Inability, Job, Operation, output
from tests.e2e.matrix.steps import HALF

NO_GOODBYE = Inability(
    "ftp-ssl ends an upload without close_notify, so nobody can tell a whole file from one that was cut off: "
    "426, and nothing "
    "is published (RFC 4217, 12.4 wants close_notify), unless its user has `upload_end: fin`",
    tried=True,
)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _lines(operation: Operation, work: Path) -> list[str]:
    words = [_quoted(word) for word in operation[1:]]
    match operation[0], words:
        case "put", [local, remote]:
            return [f"put {local} {remote}"]
        case "get", [remote, local]:
            return [f"get {remote} {local}"]
        case "reput", [local, remote]:
            # It keeps no count of what it has sent: whoever resumes names the offset.
            return [f"restart {HALF}", f"put {local} {remote}"]
        case "reget", [remote, local]:
            return [f"reget {remote} {local}"]
        case "list", []:
            return ["ls . listed"]
        case "nlst", []:
            return ["nlist . listed"]
        case "mkdir", [name]:
            return [f"mkdir {name}"]
        case "rename", [old, new]:
            return [f"rename {old} {new}"]
        case "delete", [name]:
            return [f"delete {name}"]
        case "size", [name]:
            return [f"size {name}"]
        case "time", [name]:
            return [f"modtime {name}"]
    raise NotImplementedError(operation)


def _commands(job: Job) -> list[Command]:
    script = ["prompt", f"user {job.user} {job.password}", "binary"]
    for operation in job.operations:
        script += _lines(operation, job.work)
    options = ["-n", "-v", "-z", "secure", "-z", "verify=1", "-z", f"cacert={job.authority}"]
    options += ["-p"] if job.data == "passive" else []
    program: list[str | Path] = ["ftp-ssl", *options, job.host, str(job.port)]
    commands = [Command(["sh", "-c", '"$@" > said', "sh", *program], "\n".join([*script, "quit"]) + "\n")]
    match job.operations:
        case (("list",),) | (("nlst",),):
            commands.append(Command(["cat", "listed"]))
        case (("size", _),):
            commands.append(Command(["sed", "-n", r"s/^213 \([0-9]*\)$/\1/p", "said"]))
        case (("time", _),):
            commands.append(Command(["sh", "-c", "date -d \"$(sed -n 's/^file\\t//p' said)\" +%s"]))
    return commands


def _version(build: Path) -> str:
    return output("dpkg-query", "-W", "-f", "${Version}", "ftp-ssl")


FTP_SSL = Client(
    name="ftp-ssl",
    source="Debian: ftp-ssl",
    how="`ftp-ssl -p -z secure -z verify=1 -z cacert=ca.pem HOST`; `-z secure` refuses to go on in clear, "
    "`-p` is passive. "
    "Type `binary` before transfers.",
    version=_version,
    commands=_commands,
    needs=("ftp-ssl",),
    cannot={
        "implicit": Inability("ftp-ssl only knows AUTH TLS (its manual: `-z ssl` is not yet implemented)"),
        **dict.fromkeys(("put-0", "put-1", "put-5M", "put-utf8", "reput", "PORT", "EPRT", "hundred"), NO_GOODBYE),
        "MLSD": Inability("ftp-ssl has no command for it"),
    },
)
