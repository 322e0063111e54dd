"""wget: downloads only."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from tests.e2e.matrix.client import Client, Command, Inability, Job, Operation, output

NO_UPLOAD = Inability("wget downloads only")
NO_COMMAND = Inability("wget has no option that sends it")


def _command(words: list[str], base: str, operation: Operation) -> list[Command]:
    match operation:
        case "get", remote, local:
            return [Command([*words, "-O", local, base + quote(remote)])]
        case "reget", remote, local:
            return [Command([*words, "-c", "-O", local, base + quote(remote)])]
        case ("list",):
            return [Command([*words, "--no-remove-listing", "-O", "index", base]), Command(["cat", ".listing"])]
        case "size", name:
            show = "sed -n 's/^==> SIZE .* //p' log"
            return [
                Command([*words, "-v", "-o", "log", "-O", "sized", base + quote(name)]),
                Command(["sh", "-c", show]),
            ]
        case "time", name:
            return [Command([*words, "-N", base + quote(name)]), Command(["stat", "-c", "%Y", name])]
    raise NotImplementedError(operation)


def _commands(job: Job) -> list[Command]:
    base = f"ftps://{job.url_host}:{job.port}/"
    words = ["wget", "--no-config", "-nv", "-t", "1", "-T", "30", f"--ca-certificate={job.authority}"]
    words += ["--ftps-resume-ssl", f"--user={job.user}", f"--password={job.password}"]
    words += ["--ftps-implicit"] if job.mode == "implicit" else []
    words += ["--no-passive-ftp"] if job.data != "passive" else []
    if len(job.operations) > 3:
        return [Command([*words, "-r", "-nH", "-l", "1", "-A", "down*", base])]
    operations = job.operations or (("list",),)
    return [command for operation in operations for command in _command(words, base, operation)]


def _version(build: Path) -> str:
    return output("wget", "--version").split()[2]


WGET = Client(
    name="wget",
    source="Debian: wget",
    how="`wget --ftps-resume-ssl --ca-certificate=ca.pem --user=USER --password=PASSWORD ftps://HOST/path`: explicit "
    "TLS, implicit with `--ftps-implicit`. Without `--ftps-resume-ssl` its data connections are refused with 522. `-c` "
    "resumes; `-r` gets a tree over one session.",
    version=_version,
    commands=_commands,
    needs=("wget",),
    uploads=False,
    cannot={
        **dict.fromkeys(("mkdir", "put-0", "put-1", "put-5M", "put-utf8", "reput"), NO_UPLOAD),
        "time": Inability("wget reads the time from LIST (`-N`), which for old files has the day alone", tried=True),
        **dict.fromkeys(("NLST", "MLSD", "rename", "delete"), NO_COMMAND),
    },
)
