"""lftp: one script, one session."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from tests.e2e.matrix.client import Client, Command, Inability, Job, Operation, output


def _line(operation: Operation) -> str:
    words = [quote(word) for word in operation[1:]]
    match operation[0], words:
        case "put", [local, remote]:
            return f"put {local} -o {remote}"
        case "get", [remote, local]:
            return f"get {remote} -o {local}"
        case "reput", [local, remote]:
            return f"reput {local} -o {remote}"
        case "reget", [remote, local]:
            return f"reget {remote} -o {local}"
        case "list", []:
            return "ls"
        case "nlst", []:
            return "nlist"
        case "mlsd", []:
            return "set ftp:use-mlsd yes; cls -1"
        case "mkdir", [name]:
            return f"mkdir {name}"
        case "rename", [old, new]:
            return f"mv {old} {new}"
        case "delete", [name]:
            return f"rm {name}"
        case "size", [name]:
            return f"cls -1s --block-size=1 {name} > told"
        case "time", [name]:
            return f"cls -l --time-style=%s {name} > told"
    raise NotImplementedError(operation)


def _commands(job: Job) -> list[Command]:
    scheme = "ftps" if job.mode == "implicit" else "ftp"
    script = [
        "set cmd:fail-exit yes",
        "set net:max-retries 1",
        "set ftp:use-mlsd no",
        "set net:timeout 30",
        f"set ssl:ca-file {job.authority}",
        "set ftp:ssl-force yes",
        "set ftp:ssl-protect-data yes",
        f"set ftp:passive-mode {'yes' if job.data == 'passive' else 'no'}",
        f"open -u {job.user},{job.password} {scheme}://{job.url_host}:{job.port}",
        *(_line(operation) for operation in job.operations or (("nlst",),)),
    ]
    commands = [Command(["lftp", "--norc", "-f", "/dev/stdin"], "\n".join(script) + "\n")]
    match job.operations:
        case (("size", _),):
            commands.append(Command(["sed", "s/ file$//", "told"]))
        case (("time", _),):
            commands.append(Command(["sed", "s/ *file$//; s/.* //", "told"]))
    return commands


def _version(build: Path) -> str:
    return output("lftp", "--version").split()[3]


LFTP = Client(
    name="lftp",
    source="Debian: lftp",
    how="`set ftp:ssl-force yes; set ftp:ssl-protect-data yes; set ssl:ca-file ca.pem`, then `open ftp://HOST` for "
    "explicit TLS or `open ftps://HOST:990` for implicit. `reget`, `reput` and `mirror --continue` resume. `set "
    "ftp:passive-mode no` makes it active: EPRT over IPv6, PORT over IPv4. `ln -s` makes links, of names with spaces "
    "as in `ln -s '\"a b\"' link`. `mirror -R` makes links before what they lead to, which is refused, and does not "
    "know them again afterwards: use `mirror -R --dereference` or `--no-symlinks`. `rm -r` goes through a link to a "
    "directory and empties that; `rm` removes the link.",
    version=_version,
    commands=_commands,
    needs=("lftp",),
    cannot={
        "EPRT": Inability(
            "lftp sends EPRT over IPv6 only, and over the loopback interface, where this test runs, it "
            "announces `::` (its "
            "manual: `ftp:bind-data-socket`), which is refused with 504; elsewhere it announces its own address",
            tried=True,
        )
    },
)
