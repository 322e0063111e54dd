"""
The facts that the matrix knows about a client: how to run it, what it cannot do and why, how it must be configured.

A *job* is a list of operations done in one session. Whether they worked is never the client's word alone: the steps
look
at the server's disk, at the files that came down and at the audit log.

    mkdir NAME              put LOCAL REMOTE        get REMOTE LOCAL        rename OLD NEW
    list, nlst, mlsd        reput LOCAL REMOTE      reget REMOTE LOCAL      delete NAME
    size NAME, time NAME    (reput and reget go on from what is there)
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.e2e.client import IPV4, IPV6
from tests.e2e.matrix.residents import resident
from tests.tools import ROOT

TLSMode = Literal["explicit", "implicit"]
Data = Literal["passive", "PORT", "EPRT"]
Operation = tuple[str, ...]

MODES: tuple[TLSMode, ...] = ("explicit", "implicit")
# Far more than any takes, also beside others on a machine that is busy.
SECONDS = 100
JOB_FILE = "job.tsv"
ENVIRON = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True, slots=True)
class Job:
    """Operations for one session; *work* is the folder the client runs in, *build* where compiled programs are."""

    operations: tuple[Operation, ...]
    host: str
    port: int
    mode: TLSMode
    user: str
    password: str
    authority: Path
    data: Data
    work: Path
    build: Path

    @property
    def url_host(self) -> str:
        """The host as a URL spells it."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def environ(self) -> dict[str, str]:
        """Everything a script must know, and nothing of the person who runs the tests: no ~/.lftprc, no ~/.netrc."""
        return {
            **ENVIRON,
            "HOME": str(self.work),
            "FTP_HOST": self.host,
            "FTP_PORT": str(self.port),
            "FTP_MODE": self.mode,
            "FTP_USER": self.user,
            "FTP_PASSWORD": self.password,
            "FTP_CA": str(self.authority),
            "FTP_DATA": self.data,
            "FTP_BUILD": str(self.build),
        }


@dataclass(frozen=True, slots=True)
class Command:
    """A program to start, and what it reads from its standard input; a *resident* does one job after the other."""

    arguments: Sequence[str | Path]
    stdin: str = ""
    is_resident: bool = False


@dataclass(frozen=True, slots=True)
class Inability:
    """
    Why a client cannot do a step.

    With *tried* the matrix tries it and expects a failure, so that the page notices when a new version can. Without,
    there is
    nothing to call.
    """

    reason: str
    tried: bool = False


def nothing(build: Path) -> None:
    """Build nothing: the client is a program as it stands."""


@dataclass(frozen=True, slots=True)
class Client:
    """
    A client of the matrix.

    *cannot* is keyed by a step, or by "mode step" for one mode, or by a mode alone. *offered* says why it needs a user
    with `data_session_reuse: offered`, "" when it resumes TLS sessions. *needs* are programs, *files* other things
    that must be installed. *sessions* is how many it opens where one would do, *many* the files of the last step.
    """

    name: str
    source: str
    how: str
    version: Callable[[Path], str]
    commands: Callable[[Job], Sequence[Command]]
    needs: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    build: Callable[[Path], None] = nothing
    cannot: Mapping[str, Inability] = field(default_factory=dict)
    offered: str = ""
    uploads: bool = True
    sessions: int = 1
    many: int = 100
    hosts: Mapping[Data, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()

    def inability(self, mode: TLSMode, step: str) -> Inability | None:
        """Return why *step* cannot be done in *mode*, None when it can."""
        return self.cannot.get(mode) or self.cannot.get(step) or self.cannot.get(f"{mode} {step}")

    def host(self, data: Data) -> str:
        """Return the address to connect to; over IPv6 most clients send EPRT, and only there."""
        return self.hosts.get(data, IPV6 if data == "EPRT" else IPV4)

    def missing(self) -> str:
        """Return what is not installed, "" when nothing is missing."""
        programs = [name for name in self.needs if shutil.which(name) is None]
        return ", ".join([*programs, *(str(file) for file in self.files if not file.exists())])


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: *failed* is what the client said when it was not content, "" when it was."""

    said: str
    failed: str = ""


def run(client: Client, job: Job) -> Outcome:
    """Let *client* do *job*."""
    lines = "".join("\t".join(operation) + "\n" for operation in job.operations)
    (job.work / JOB_FILE).write_text(lines)
    said = ""
    for command in client.commands(job):
        if command.is_resident:
            process = resident(tuple(map(str, command.arguments)), tuple(ENVIRON.items()))
            code, out, errors = process.work(job.work, job.environ, SECONDS)
            said += out
            if code != 0:
                return Outcome(said, f"exit code {code}\n{out}\n{errors}")
            continue
        try:
            done = subprocess.run(
                [str(word) for word in command.arguments],
                cwd=job.work,
                env=job.environ,
                input=command.stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired as expired:
            return Outcome(said, f"hung: {expired.cmd} {expired.stderr!r}")
        said += done.stdout
        if done.returncode != 0:
            return Outcome(said, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return Outcome(said)


def output(*arguments: str | Path) -> str:
    """Return what a program prints: for versions."""
    environ = {**os.environ, "LC_ALL": "C.UTF-8"}
    words = [str(word) for word in arguments]
    done = subprocess.run(words, capture_output=True, text=True, env=environ, timeout=SECONDS)
    return (done.stdout + done.stderr).strip()
