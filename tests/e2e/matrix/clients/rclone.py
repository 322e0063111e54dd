"""rclone: one process for a job; it keeps its connections in a pool."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.e2e.matrix.client import Client, Command, Inability, Job, Operation, output

NO_RESUME = Inability("rclone begins a file that was cut off anew (rclone issue 87)")
NO_ACTIVE = Inability("rclone's FTP library is passive only (jlaffaye/ftp, README)")


@cache
def _obscured(password: str) -> str:
    return output("rclone", "obscure", password)


def _words(operation: Operation, remote: str) -> list[str]:
    match operation:
        case "put", local, name:
            return ["copyto", local, remote + name]
        case "get", name, local:
            return ["copyto", remote + name, local]
        case ("list" | "mlsd",):
            return ["lsf", remote]
        case "mkdir", name:
            return ["mkdir", remote + name]
        case "rename", old, new:
            return ["moveto", remote + old, remote + new]
        case "delete", name:
            return ["deletefile", remote + name]
        case "size", name:
            return ["lsf", "--format", "s", remote + name]
        case "time", name:
            return ["lsf", "--format", "t", remote + name]
    raise NotImplementedError(operation)


def _commands(job: Job) -> list[Command]:
    tls = "tls" if job.mode == "implicit" else "explicit_tls"
    settings = f'host={job.host},port={job.port},user={job.user},pass="{_obscured(job.password)}",{tls}=true'
    if job.operations == (("list",),):
        settings += ",disable_mlsd=true"
    is_whole_tree = len(job.operations) > 3
    remote = f":ftp,{settings}:"
    words = ["env", f"SSL_CERT_FILE={job.authority}", "rclone", "--config=", "--retries=1", "--low-level-retries=1"]
    if is_whole_tree:
        return [Command([*words, "copy", "many", remote])]
    commands = [Command([*words, *_words(each, remote)]) for each in job.operations or (("list",),)]
    if job.operations[:1] == (("time", "file"),):
        [whole] = commands
        show = 'date -d "$("$@")" +%s'
        return [Command(["sh", "-c", show, "sh", *whole.arguments])]
    return commands


def _version(build: Path) -> str:
    return output("rclone", "version").split()[1]


RCLONE = Client(
    name="rclone",
    source="Debian: rclone",
    how="`explicit_tls = true`, or `tls = true` for implicit, in the remote of type `ftp`. A private "
    "authority is given as `SSL_CERT_FILE=ca.pem` in the environment. It works with its own defaults for parallelism, "
    "and with `--transfers 16` in the 50 sessions that a user may have (`limits.sessions_per_user`); beyond them files "
    "fail after half a minute of tries, so set `concurrency` to what the user may have. All of its sessions share one "
    "cache of TLS sessions: with several `processes` many of its files are refused with 522.",
    version=_version,
    commands=_commands,
    needs=("rclone",),
    cannot={
        "reget": NO_RESUME,
        "reput": NO_RESUME,
        "PORT": NO_ACTIVE,
        "EPRT": NO_ACTIVE,
        "NLST": Inability("rclone lists with MLSD, or with LIST (`disable_mlsd`)"),
    },
    # A transfer or a checker each, by its defaults 4 and 8.
    sessions=13,
)
