"""
Clients with many sessions at once, with their own defaults and ours: `data_session_reuse: required`.

Most keep one TLS session cache for all of their connections, so that a data connection resumes the session of another
control connection. Each file must be whole, at the first attempt: no connection and no login may have been refused.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import aioftp
import pytest

from tests.e2e.client import tls_context
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import Account, Daemon
from tests.e2e.matrix.client import MODES, TLSMode, output
from tests.e2e.matrix.clients.languages import JAR, JVM, SCRIPTS
from tests.e2e.programs.files import LARGE, MIB, digests
from tests.tools import missing, require_tool

SECONDS = 300
RCLONE_FOLDERS = 20
# 25 for each of 16 transfers, and a thousand with FTPSD_TESTS_LARGE=1.
RCLONE_FILES = 1000 if LARGE > 64 * MIB else 400
CURL_FILES = 100
CONNECTIONS = 8
# Eight for each connection: each opens 16 data connections, up and down.
FILES = 8 * CONNECTIONS
LFTP_SESSIONS = 16
LFTP_FILES = 10 * LFTP_SESSIONS
REFUSALS = ("data-connection-refused", "login-refused")

BOTH_MODES = pytest.mark.parametrize("mode", MODES)


class Parallel:
    """A daemon, a user, and a *work* folder whose `up` holds the files that go up."""

    def __init__(self, daemon: Daemon, account: Account, work: Path) -> None:
        self.daemon = daemon
        self.account = account
        self.work = work
        self.up = work / "up"

    def port(self, mode: TLSMode) -> int:
        """Return where *mode* is spoken."""
        return self.daemon.ports.implicit if mode == "implicit" else self.daemon.ports.explicit

    def url(self, mode: TLSMode) -> str:
        """Return the root of the user's files."""
        return f"{'ftps' if mode == 'implicit' else 'ftp'}://127.0.0.1:{self.port(mode)}/"

    def run(self, words: Sequence[str | Path], environ: dict[str, str] | None = None) -> str:
        """Run a client, which must succeed, and return what it said."""
        # Nothing of the person who runs the tests: no ~/.lftprc, no ~/.netrc.
        clean = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.work), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            [str(word) for word in words],
            cwd=self.work,
            env=clean | (environ or {}),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def make_files(self, count: int, folders: int = 1) -> None:
        """Fill `up` with small files in *folders* folders, or in none."""
        for number in range(count):
            folder = self.up / f"folder{number % folders:02}" if folders > 1 else self.up
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"file{number:04}").write_bytes(random.Random(number).randbytes(number * 7 % 5000 + 1))

    def must_be_whole(self, folder: Path, count: int) -> None:
        """Compare *folder* with what went up, and see that nobody was refused on the way."""
        expected = digests(self.up)
        assert len(expected) == count
        assert digests(folder) == expected
        assert [event for refusal in REFUSALS for event in self.daemon.audit(f'"{refusal}"')] == []


Start = Callable[..., Parallel]


@pytest.fixture
def start(start_daemon: StartDaemon, tmp_path: Path) -> Start:
    """Starts a daemon, with its defaults but for what a user is given."""

    def start(**user: str) -> Parallel:
        daemon = start_daemon()
        account = daemon.account()
        if user:
            users = daemon.users
            users[account.name] |= user
            daemon.write_users(users)
            daemon.reload()
        work = tmp_path / "work"
        work.mkdir()
        return Parallel(daemon, account, work)

    return start


@pytest.mark.parametrize(("mode", "transfers", "files"), [("explicit", 4, 200), ("implicit", 16, RCLONE_FILES)])
def test_rclone(start: Start, mode: TLSMode, transfers: int, files: int) -> None:
    """Copy, sync after changes, check by reading all of it again; one refusal fails it, for nothing is retried."""
    rclone = require_tool("rclone")
    parallel = start()
    account = parallel.account
    parallel.make_files(files, RCLONE_FOLDERS)
    password, tls = output(rclone, "obscure", account.password), "tls" if mode == "implicit" else "explicit_tls"
    remote = f':ftp,host=127.0.0.1,port={parallel.port(mode)},user={account.name},pass="{password}",{tls}=true:tree'
    words = [rclone, "--config=", "--retries=1", "--low-level-retries=1", f"--transfers={transfers}"]

    def run(*command: str) -> None:
        said = parallel.run([*words, *command, "up", remote], {"SSL_CERT_FILE": str(parallel.daemon.tls.authority)})
        assert "ERROR" not in said

    run("copy")
    for file in sorted(parallel.up.rglob("file*"))[::10]:
        file.unlink()
    for file in sorted(parallel.up.rglob("file*"))[::10]:
        file.write_bytes(b"changed")
    run("sync")
    run("check", "--download")
    parallel.must_be_whole(account.home / "tree", files * 9 // 10)


@BOTH_MODES
def test_curl(start: Start, mode: TLSMode) -> None:
    """curl -Z: 50 at once, by its default and by ours for the sessions of a user."""
    curl = require_tool("curl")
    parallel = start()
    account = parallel.account
    parallel.make_files(CURL_FILES)
    authority = str(parallel.daemon.tls.authority)
    words = [curl, "-Z", "-sS", "--ssl-reqd", "--cacert", authority, "-u", f"{account.name}:{account.password}"]
    for file in sorted(parallel.up.iterdir()):
        words += ["-T", str(file), parallel.url(mode)]
    parallel.run(words)
    parallel.must_be_whole(account.home, CURL_FILES)
    (parallel.work / "down").mkdir()
    globbed = parallel.url(mode) + f"file[0000-{CURL_FILES - 1:04}]"
    parallel.run([*words[: words.index("-T")], "--output-dir", "down", "-o", "file#1", globbed])
    parallel.must_be_whole(parallel.work / "down", CURL_FILES)


@BOTH_MODES
def test_lftp(start: Start, mode: TLSMode) -> None:
    """mirror -P 16, up and down."""
    lftp = require_tool("lftp")
    parallel = start()
    account = parallel.account
    parallel.make_files(LFTP_FILES, 4)
    settings = ["set cmd:fail-exit yes", "set net:max-retries 1", f"set ssl:ca-file {parallel.daemon.tls.authority}"]
    settings += ["set ftp:ssl-force yes", "set ftp:ssl-protect-data yes"]
    opened = f"open -u {account.name},{account.password} {parallel.url(mode)}"
    for job in (f"mirror -R -P {LFTP_SESSIONS} up tree", f"mirror -P {LFTP_SESSIONS} tree down"):
        parallel.run([lftp, "--norc", "-c", ";".join([*settings, opened, job])])
    parallel.must_be_whole(account.home / "tree", LFTP_FILES)
    parallel.must_be_whole(parallel.work / "down", LFTP_FILES)


@BOTH_MODES
def test_aioftp(start: Start, mode: TLSMode) -> None:
    """Eight connections of one SSLContext; each data connection resumes that of its own control connection."""
    parallel = start()
    parallel.make_files(FILES)
    (parallel.work / "down").mkdir()
    names = sorted(path.name for path in parallel.up.iterdir())
    context = tls_context(parallel.daemon)
    shares = [names[number::CONNECTIONS] for number in range(CONNECTIONS)]

    async def all_at_once() -> None:
        await asyncio.gather(*(_transfer(parallel, mode, context, share) for share in shares))

    asyncio.run(asyncio.wait_for(all_at_once(), SECONDS))
    parallel.must_be_whole(parallel.account.home, FILES)
    parallel.must_be_whole(parallel.work / "down", FILES)


async def _transfer(parallel: Parallel, mode: TLSMode, context: ssl.SSLContext, names: Sequence[str]) -> None:
    """Let one connection bring the files up, and back down."""
    client = aioftp.Client(ssl=context if mode == "implicit" else None, socket_timeout=60)
    await client.connect("127.0.0.1", parallel.port(mode))
    if mode == "explicit":
        await client.upgrade_to_tls(context)
    await client.login(parallel.account.name, parallel.account.password)
    for name in names:
        await client.upload(parallel.up / name, name, write_into=True)
    for name in names:
        await client.download(name, str(parallel.work / "down" / name), write_into=True)
    await client.quit()


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """The command that runs CommonsNetThreads.java, compiled once."""
    compiler, java = require_tool("javac"), require_tool("java")
    if not JAR.exists():
        missing("commons-net is not installed")
    folder = tmp_path_factory.mktemp("threads")
    quick = [f"-J{word}" for word in JVM[1:]]
    opened = [f"java.base/sun.security.{name}=ALL-UNNAMED" for name in ("ssl", "util")]
    source = SCRIPTS / "CommonsNetThreads.java"
    exported = [word for name in opened for word in ("--add-exports", name)]
    subprocess.run([compiler, *quick, *exported, "-cp", JAR, "-d", folder, source], check=True, timeout=SECONDS)
    return [
        java,
        *JVM[1:],
        *(word for name in opened for word in ("--add-opens", name)),
        "-cp",
        f"{JAR}:{folder}",
        "CommonsNetThreads",
    ]


@BOTH_MODES
@pytest.mark.parametrize("resumes", [True, False], ids=["required", "offered"])
def test_commons_net(start: Start, threads: list[str | Path], mode: TLSMode, resumes: bool) -> None:
    """
    Eight threads with one SSLContext.

    `FTPSClient` never resumes and needs *offered*; a subclass with the dozen lines that its users add resumes.
    """
    parallel = start() if resumes else start(data_session_reuse="offered")
    account = parallel.account
    parallel.make_files(FILES)
    (parallel.work / "down").mkdir()
    environ = {"FTP_PORT": str(parallel.port(mode)), "FTP_MODE": mode, "FTP_CA": str(parallel.daemon.tls.authority)}
    environ |= {"FTP_USER": account.name, "FTP_PASSWORD": account.password, "PATH": os.environ["PATH"]}
    environ |= {"FTP_THREADS": str(CONNECTIONS), "FTP_RESUME": "yes" if resumes else "no"}
    parallel.run(threads, environ)
    parallel.must_be_whole(account.home, FILES)
    parallel.must_be_whole(parallel.work / "down", FILES)
