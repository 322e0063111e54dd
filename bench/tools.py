"""The clients in C that measure what a Python client would hide: curl, OpenSSH's sftp, lftp."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.client import CIPHER, CIPHER_1_2, HOST, OFFER
from bench.ground import USER, Ground
from bench.measure import BenchError
from bench.running import RunningServer


@dataclass(frozen=True)
class Ran:
    """The cost of a group of client processes: *client_cpu* of all of them together."""

    seconds: float
    client_cpu: float


def require(program: str) -> None:
    """Raise `BenchError` unless *program* is installed."""
    if not shutil.which(program):
        raise BenchError(f"{program} is not installed")


def run_together(commands: list[list[str]], patience: float) -> Ran:
    """Run *commands* at the same time; all must end well within *patience* seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    processes = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for command in commands
    ]
    try:
        for command, process in zip(commands, processes, strict=True):
            _, complaint = process.communicate(timeout=max(0.1, started + patience - time.monotonic()))
            if process.returncode:
                last = (complaint.decode(errors="replace").strip().splitlines() or ["failed"])[-1]
                raise BenchError(f"{command[0]}: {last}")
    except subprocess.TimeoutExpired:
        raise BenchError(f"not done after {patience:.0f} s") from None
    finally:
        end(processes)
    seconds = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Ran(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Kill what still runs."""
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def download(running: RunningServer, path: str) -> list[str]:
    """Return the command that fetches *path* and throws it away."""
    if running.server.protocol == "sftp":
        return [*_sftp(running), f"{HOST}:{running.ground.home}/{path}", "/dev/null"]
    scheme = "https" if running.server.protocol == "https" else "ftp"
    return [*_curl(running), "--output", "/dev/null", f"{scheme}://{HOST}:{running.port}/{path}"]


def upload(running: RunningServer, source: Path, path: str) -> list[str]:
    """Return the command that stores the file *source* as *path*."""
    if running.server.protocol == "sftp":
        return [*_sftp(running), str(source), f"{HOST}:{running.ground.home}/{path}"]
    return [*_curl(running), "--upload-file", str(source), f"ftp://{HOST}:{running.port}/{path}"]


def _curl(running: RunningServer) -> list[str]:
    common = ["curl", "--silent", "--show-error", "--fail", "--insecure", "--max-time", "300"]
    tls = ["--tls13-ciphers", CIPHER, *(["--ciphers", CIPHER_1_2] if OFFER.is_open else ["--tlsv1.3"])]
    login = ["--ssl-reqd", "--user", f"{USER}:{running.ground.password}"]
    return [*common, *tls, *(login if running.server.protocol == "ftps" else [])]


def _sftp(running: RunningServer) -> list[str]:
    """scp speaks SFTP since OpenSSH 9 and needs no batch file."""
    _, key, _ = make_ssh_keys(running.ground)
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes"]
    words = [word for option in options for word in ("-o", option)]
    return ["scp", "-q", "-s", "-F", "none", "-i", str(key), "-P", str(running.port), *words, "-o", f"User={USER}"]


def make_ssh_keys(ground: Ground) -> tuple[Path, Path, Path]:
    """Return the host key, the user's key and the list that allows the user's key, made when missing."""
    directory = ground.directory / "sshd"
    host_key, key, authorized = directory / "host", directory / "user", directory / "authorized"
    if not authorized.exists():
        directory.mkdir(exist_ok=True)
        for path in (host_key, key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=20)
        shutil.copy(f"{key}.pub", authorized)
    return host_key, key, authorized


def mirror(running: RunningServer, arguments: str, patience: float) -> Ran:
    """Run lftp's `mirror` with *arguments*."""
    require("lftp")
    settings = ["ftp:ssl-force true", "ftp:ssl-protect-data true", "ssl:verify-certificate no", "xfer:log no"]
    settings += ["net:max-retries 2", "net:timeout 20", "ftp:prefer-epsv true", "cmd:fail-exit true"]
    script = "; ".join([*(f"set {setting}" for setting in settings), f"mirror {arguments}", "exit"])
    login = f"{USER},{running.ground.password}"
    home = running.ground.file("lftp/empty", "").parent
    os.environ["LFTP_HOME"] = str(home)
    return run_together([["lftp", "-u", login, "-e", script, f"ftp://{HOST}:{running.port}/"]], patience)
