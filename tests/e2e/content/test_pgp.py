"""OpenPGP between the client and the disk, with the real gpg, ftplib, curl, lftp, and sq as another reader."""

from __future__ import annotations

import ftplib
import hashlib
import io
import json
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from ftpsd.demo.authority import Demonstration
from ftpsd.storage.pgp.gpg_turns import MOST_OF_ONE
from ftpsd.storage.pgp.key_home import VIEW
from tests.e2e.client import EXPLICIT, EXPLICIT_1_2, log_in
from tests.e2e.content.openpgp import PAST, Partner, gnupg_processes, gpgs_of
from tests.e2e.daemon import Account, Daemon
from tests.e2e.forked import ftpsd
from tests.e2e.polling import eventually
from tests.tools import require_tool

MARKER = b"the salary of employee number 4711 is a secret of the firm"
FOLDERS = ("out", "signed", "armored", "in", "any", "expired", "missing", "plain", "bounded")


@dataclass(frozen=True, slots=True)
class Ground:
    """A daemon with keys, the partner, and the fingerprints that matter."""

    daemon: Daemon
    partner: Partner
    ours: str
    theirs: str
    stranger: str
    old: str


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, tls_files: Demonstration) -> Iterator[Ground]:
    """One daemon for all: its keys are imported by `ftpsd keys import`."""
    with ExitStack() as stack:
        partner = Partner()
        stack.callback(partner.close)
        ours, theirs = partner.make_key("ours@example.com"), partner.make_key("theirs@example.com")
        stranger, old = partner.make_key("stranger@example.com"), partner.make_key("old@x.com", expires="1d", at=PAST)
        rules = [
            {"paths": ["/out/**"], "encrypt_to": [theirs]},
            {"paths": ["/signed/**"], "encrypt_to": [theirs], "sign_with": ours},
            {"paths": ["/armored/**"], "encrypt_to": [theirs[-16:]], "armor": True},
            {"paths": ["/in/**"], "decrypt": True, "verify_from": [theirs]},
            {"paths": ["/any/**"], "decrypt": True},
            {"paths": ["/bounded/**"], "decrypt": True, "max_expansion": 2},
            {"paths": ["/expired/**"], "encrypt_to": [old]},
            {"paths": ["/missing/**"], "encrypt_to": ["A" * 40]},
        ]
        daemon = Daemon(tmp_path_factory.mktemp("pgp"), tls_files, {"pgp": rules}, users=5)
        stack.callback(daemon.kill)
        for given in (partner.secret("ours@example.com"), partner.public("theirs@example.com", "old@x.com")):
            file = daemon.folder / "given.pgp"
            file.write_bytes(given)
            done = daemon.order("keys", "import", str(file), "--config", str(daemon.config_file))
            assert done.returncode == 0, done.stderr
            file.unlink()
        daemon.start()
        yield Ground(daemon, partner, ours, theirs, stranger, old)
        daemon.stop()


@pytest.fixture
def account(ground: Ground) -> Account:
    """A user with all folders."""
    account = Account("u000", Path(ground.daemon.users["u000"]["home"]))
    for folder in FOLDERS:
        (account.home / folder).mkdir(exist_ok=True)
    return account


@pytest.fixture
def ftp(ground: Ground, account: Account) -> Iterator[ftplib.FTP]:
    """A session."""
    with log_in(ground.daemon, EXPLICIT, account) as client:
        yield client


def put(ftp: ftplib.FTP, name: str, data: bytes, verb: str = "STOR") -> str:
    """Upload; return the last reply, also a refusal."""
    try:
        return ftp.storbinary(f"{verb} {name}", io.BytesIO(data))
    except ftplib.Error as refused:
        return str(refused)


def marked(size: int, marker: bytes = MARKER) -> bytes:
    """Return about *size* bytes that hold the marker everywhere, and that hardly compress."""
    noise = random.Random(size)
    return b"".join(marker + noise.randbytes(200) for _ in range(size // (len(marker) + 200) + 1))


def digest(data: bytes) -> str:
    """Return the SHA-256 of *data*."""
    return hashlib.sha256(data).hexdigest()


def holding(marker: bytes, *folders: Path) -> list[Path]:
    """Return the files below *folders* with *marker* in them, raw."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if marker in path.read_bytes()]


def read_by_sq(ground: Ground, message: bytes, folder: Path) -> bytes:
    """Return what sq, another implementation of OpenPGP, decrypts of *message*."""
    key, file = folder / "key.pgp", folder / "message.pgp"
    key.write_bytes(ground.partner.secret("theirs@example.com"))
    file.write_bytes(message)
    command = [require_tool("sq"), "decrypt", "--recipient-key", str(key), str(file)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class TestEncrypting:
    """report.csv arrives, report.csv.pgp is published."""

    def test_what_arrives_is_published_encrypted_for_gnupg_and_sq(
        self, ground: Ground, account: Account, ftp: ftplib.FTP, tmp_path: Path
    ) -> None:
        """Small and large, with and without signature; the reply names the file, the log both digests."""
        for folder, size in (("out", 100), ("out", 3_000_000), ("signed", 2_000_000), ("armored", 90_000), ("out", 0)):
            data = marked(size) if size else b""
            assert put(ftp, f"/{folder}/report.csv", data) == "226 Transfer complete, stored as report.csv.pgp."
            stored = account.home / folder / "report.csv.pgp"
            message = stored.read_bytes()
            assert ground.partner.gpg("--decrypt", given=message) == data
            if folder != "signed":
                assert read_by_sq(ground, message, tmp_path) == data
            assert message.startswith(b"-----BEGIN PGP MESSAGE") == (folder == "armored")
            names = [path.name for path in (account.home / folder).iterdir()]
            assert names == ["report.csv.pgp"]
            event = ground.daemon.wait_for_event("file-stored", sha256=digest(message))
            assert (event["path"], event["sent_path"]) == (f"/{folder}/report.csv.pgp", f"/{folder}/report.csv")
            assert (event["sent_sha256"], event["bytes"]) == (digest(data), len(data))
            assert event.get("signed_by") == (ground.ours if folder == "signed" else None)

    def test_the_signature_is_ours(self, ground: Ground, account: Account, ftp: ftplib.FTP) -> None:
        """The partner's gpg says so."""
        assert put(ftp, "/signed/s", MARKER).startswith("226")
        arguments = ("--status-fd=1", "--output", "/dev/null", "--decrypt")
        said = ground.partner.gpg(*arguments, given=(account.home / "signed/s.pgp").read_bytes())
        assert f"VALIDSIG {ground.ours}".encode() in said

    def test_plaintext_is_nowhere_on_the_disk(self, ground: Ground, account: Account, ftp: ftplib.FTP) -> None:
        """Neither while it comes, nor behind a cut, nor afterwards; nor in temporary folders or the key home."""
        places = (ground.daemon.folder, *Path(tempfile.gettempdir()).glob(f"{VIEW}*"))
        # What others have had decrypted may lie there.
        marker = b"the salary of employee number 4712 is a secret of this test"
        data = marked(1_500_000, marker)
        ftp.voidcmd("TYPE I")
        connection = ftp.transfercmd("STOR /signed/halfway")
        connection.sendall(data)
        eventually(
            lambda: [path for path in (account.home / "signed").iterdir() if path.stat().st_size > 100_000], "bytes"
        )
        assert holding(marker, *places, *Path(tempfile.gettempdir()).glob(f"{VIEW}*")) == []
        connection.close()  # without close_notify
        assert ftp.getmultiline().startswith("426")
        assert not (account.home / "signed/halfway.pgp").exists()
        assert [path for path in (account.home / "signed").iterdir() if path.name.startswith(".ftpsd")] == []
        assert put(ftp, "/out/whole", data).startswith("226")
        assert holding(marker, *places) == []

    def test_by_curl_and_lftp(self, ground: Ground, account: Account, tmp_path: Path) -> None:
        """Real clients over TLS, as partners call them."""
        local = tmp_path / "by-client.csv"
        local.write_bytes(marked(300_000))
        port, authority = ground.daemon.ports.explicit, str(ground.daemon.tls.authority)
        url = f"ftp://127.0.0.1:{port}/out/by-curl.csv"
        user = f"{account.name}:{account.password}"
        curl = [require_tool("curl"), "-sS", "--ssl-reqd", "--cacert", authority, "-u", user, "-T", str(local), url]
        assert subprocess.run(curl, capture_output=True, timeout=60, check=False).returncode == 0
        script = f"set ssl:ca-file {authority}; open -u {account.name},{account.password} -p {port} 127.0.0.1;"
        script += f" put -O /out {local} -o by-lftp.csv"
        lftp = [require_tool("lftp"), "-c", script]
        done = subprocess.run(
            lftp, capture_output=True, timeout=60, check=False, env={**os.environ, "HOME": str(tmp_path)}
        )
        assert done.returncode == 0, done.stderr.decode()
        for name in ("by-curl.csv.pgp", "by-lftp.csv.pgp"):
            message = (account.home / "out" / name).read_bytes()
            assert ground.partner.gpg("--decrypt", given=message) == local.read_bytes()

    def test_only_whole_files_are_taken(self, account: Account, ftp: ftplib.FTP) -> None:
        """554 for what goes on in the middle or copies, and nothing is there; a rename does not lead around gpg."""
        assert put(ftp, "/plain/a", b"plain").startswith("226")
        ftp.voidcmd("TYPE I")
        assert put(ftp, "/out/x", b"data", "APPE").startswith("554 Only whole files")
        ftp.sendcmd("REST 3")
        assert put(ftp, "/out/x", b"data").startswith("554 Only whole files")
        for name in ("/out/x", "/out/sub"):
            ftp.sendcmd("RNFR /plain/a")
            with pytest.raises(ftplib.error_perm, match="550"):
                ftp.sendcmd(f"RNTO {name}")
        for command in ("COMB /out/x /plain/a", "SITE CPFR /plain/a"):
            try:
                said = ftp.sendcmd(command)
            except ftplib.error_perm as refused:
                said = str(refused)
            assert said.startswith(("554", "350"))
        with pytest.raises(ftplib.error_perm, match="554 Only whole files"):
            ftp.sendcmd("SITE CPTO /out/x")
        assert not list((account.home / "out").glob("x*"))

    def test_keys_that_cannot_be_used(self, account: Account, ftp: ftplib.FTP) -> None:
        """550, the reason is in the log alone, and nothing is published."""
        for folder in ("expired", "missing"):
            for size in (10, 1_000_000):
                assert put(ftp, f"/{folder}/f", marked(size)).startswith("550")
            assert list((account.home / folder).iterdir()) == []

    def test_a_unique_name(self, ground: Ground, account: Account, ftp: ftplib.FTP) -> None:
        """STOU tells the name of the published file."""
        said = put(ftp, "/out/list.txt", MARKER, "STOU")
        name = said.removeprefix("226 Transfer complete, stored as ").removesuffix(".")
        assert name.endswith(".txt.pgp")
        assert ground.partner.gpg("--decrypt", given=(account.home / "out" / name).read_bytes()) == MARKER


class TestDecrypting:
    """report.csv.pgp arrives, report.csv is published."""

    def message(self, ground: Ground, data: bytes, *more: str) -> bytes:
        """Return a message to us from the partner."""
        return ground.partner.gpg("--recipient", ground.ours, "--encrypt", *more, given=data)

    def test_a_signed_message(self, ground: Ground, account: Account, ftp: ftplib.FTP) -> None:
        """Small and large; the log has both digests and the signer."""
        for size in (100, 3_000_000):
            data = marked(size)
            sent = self.message(ground, data, "--sign", "--local-user", ground.theirs)
            assert put(ftp, "/in/report.csv.pgp", sent) == "226 Transfer complete, stored as report.csv."
            assert (account.home / "in/report.csv").read_bytes() == data
            event = ground.daemon.wait_for_event("file-stored", sha256=digest(data))
            assert event["sent_sha256"] == digest(sent)
            assert (event["signed_by"], event["sent_path"]) == (ground.theirs, "/in/report.csv.pgp")

    def test_bad_messages_publish_nothing(self, ground: Ground, account: Account, ftp: ftplib.FTP) -> None:
        """550 for each, and what was there before stays."""
        data = marked(200_000)
        good = self.message(ground, data, "--sign", "--local-user", ground.theirs)
        flipped = bytearray(good)
        flipped[len(good) // 2] ^= 1
        to_nobody = ground.partner.gpg("--recipient", ground.theirs, "--encrypt", given=data)
        bad = {
            "not signed": self.message(ground, data),
            "signed by a stranger": self.message(ground, data, "--sign", "--local-user", ground.stranger),
            "signed by ourselves": self.message(ground, data, "--sign", "--local-user", ground.ours),
            "damaged": bytes(flipped),
            "cut": good[: len(good) // 2],
            "to somebody else": to_nobody,
            "not encrypted": ground.partner.gpg("--sign", "--local-user", ground.theirs, given=data),
            "plain": data,
            "empty": b"",
            "two of them": good + good,
        }
        (account.home / "in/kept").write_bytes(b"before")
        for what, message in bad.items():
            said = put(ftp, "/in/kept.pgp", message)
            assert said.startswith("550"), (what, said)
            assert (account.home / "in/kept").read_bytes() == b"before", what
        leftover = [path.name for path in (account.home / "in").iterdir() if path.name.startswith(".ftpsd")]
        assert leftover == []

    def test_an_expired_signature(self, ground: Ground, account: Account, ftp: ftplib.FTP) -> None:
        """gpg ends with 0 for the signature of an expired key; we do not take it, asked for or not."""
        old = ("--faked-system-time", PAST, "--sign", "--local-user", ground.old)
        sent = self.message(ground, MARKER, "--ignore-time-conflict", *old, "--ignore-valid-from")
        assert put(ftp, "/any/f.pgp", sent).startswith("550")
        assert not (account.home / "any/f").exists()

    def test_a_message_that_grows_too_much(self, ground: Ground, account: Account, ftp: ftplib.FTP) -> None:
        """A few KiB that open to 64 MiB are ended early; what is stored meanwhile is bounded and goes."""
        bomb = self.message(ground, b"\0" * (64 << 20))
        assert put(ftp, "/bounded/f.pgp", bomb).startswith("550")
        assert list((account.home / "bounded").iterdir()) == []

    def test_names(self, ftp: ftplib.FTP) -> None:
        """A name without the suffix of a message is refused before anything is sent."""
        ftp.voidcmd("TYPE I")
        for name in ("report.csv", ".pgp"):
            with pytest.raises(ftplib.error_perm, match="553"):
                ftp.transfercmd(f"STOR /in/{name}")


class TestKeys:
    """`ftpsd keys`, check and the metric."""

    def test_list_import_and_remove(self, ground: Ground, tmp_path: Path) -> None:
        """An imported key is listed, with what it can do; a key is removed with its secret part."""
        folder, settings = tmp_path / "etc", {"state": "state.db"}
        folder.mkdir()
        config = folder / "ftpsd.yaml"
        config.write_text(json.dumps(settings))
        for given in (ground.partner.secret("ours@example.com"), ground.partner.public("old@x.com")):
            done = order(["keys", "import", "-", "--json"], config, given)
            assert json.loads(done.stdout) in ([ground.ours], [ground.old])
        listed = {key["fingerprint"]: key for key in json.loads(order(["keys", "list", "--json"], config).stdout)}
        ours, old = listed[ground.ours], listed[ground.old]
        assert (ours["user"], ours["encrypt"], ours["sign"], ours["secret"], ours["expires"]) == (
            "ours@example.com",
            True,
            True,
            True,
            None,
        )
        assert (old["encrypt"], old["sign"], old["secret"]) == (False, False, False)
        assert old["expires"].startswith("2020-01-02")
        home = folder / "pgp"
        assert home.stat().st_mode & 0o777 == 0o700
        assert len(list(home.glob("private-keys-v1.d/*"))) == 2
        assert order(["keys", "remove", ground.ours], config).returncode == 0
        assert list(home.glob("private-keys-v1.d/*")) == []
        assert [key["fingerprint"] for key in json.loads(order(["keys", "list", "--json"], config).stdout)] == [
            ground.old
        ]
        assert order(["keys", "remove", ground.ours], config).returncode == 2
        assert order(["keys", "import", "-"], config, b"nonsense").returncode == 2
        assert gnupg_processes(str(home)) == []

    def test_check_names_the_place_of_a_key_that_cannot_be_used(self, ground: Ground) -> None:
        """The expired and the missing key, at the line of each; the others are not mentioned."""
        daemon = ground.daemon
        said = daemon.order("check", "--config", str(daemon.config_file)).stderr
        lines = [line for line in said.splitlines() if "pgp[" in line]
        assert len(lines) == 2, said
        assert "is expired" in lines[0]
        assert "is not in the key home" in lines[1]
        assert all(re.match(rf"{re.escape(str(daemon.config_file))}:\d+:\d+: ", line) for line in lines)

    def test_the_metric_has_the_days(self, ground: Ground) -> None:
        """No days are left of the expired key; ours never expires."""
        eventually(lambda: f'ftpsd_pgp_key_days_to_expiry{{key="{ground.old}"}}' in ground.daemon.metrics(), "the days")
        metrics = ground.daemon.metrics()
        assert metrics[f'ftpsd_pgp_key_days_to_expiry{{key="{ground.old}"}}'] == 0
        assert metrics[f'ftpsd_pgp_key_days_to_expiry{{key="{ground.ours}"}}'] == float("inf")


def order(arguments: list[str], config: Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `ftpsd` with *arguments*."""
    done = ftpsd(*arguments, "--config", config, input=given)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.encode(), done.stderr.encode())


class TestProcesses:
    """gpg and its agent."""

    def test_none_stays_behind(self, ground: Ground, ftp: ftplib.FTP) -> None:
        """After good and refused transfers no gpg, no agent, and no view."""
        assert put(ftp, "/signed/p", marked(100_000)).startswith("226")
        assert put(ftp, "/in/p.pgp", b"nonsense").startswith("550")
        view = f"{VIEW}{ground.daemon.process.pid if ground.daemon.process else 0}-"
        assert gnupg_processes(view) == []
        assert list(Path(tempfile.gettempdir()).glob(f"{view}*")) == []

    def test_one_user_has_a_part_of_them(self, ground: Ground, account: Account, ftp: ftplib.FTP) -> None:
        """Further uploads wait for their turn and get through; other users are served meanwhile."""
        with ExitStack() as stack:
            sessions = [
                stack.enter_context(log_in(ground.daemon, EXPLICIT_1_2, account)) for _ in range(MOST_OF_ONE + 2)
            ]
            begins = [each.transfercmd(f"STOR /out/many-{number}") for number, each in enumerate(sessions)]
            for begun in begins:
                stack.callback(begun.close)
                begun.sendall(MARKER)
            eventually(lambda: len(gpgs_of(ground.daemon.process)) == MOST_OF_ONE, "as many as there may be")
            somebody = Account("u004", Path(ground.daemon.users["u004"]["home"]))
            (somebody.home / "out").mkdir()
            with log_in(ground.daemon, EXPLICIT_1_2, somebody) as other:
                assert put(other, "/out/f", MARKER).startswith("226")
            assert len(gpgs_of(ground.daemon.process)) == MOST_OF_ONE
            for begun in reversed(begins):
                assert isinstance(begun, ssl.SSLSocket)
                begun.unwrap()
                begun.close()
            for each in sessions:
                assert each.getresp().startswith("226")
        told = ground.daemon.order("explain", account.name, "upload", "/out/many-0").stdout
        assert f"encrypts uploads to {ground.theirs}, and publishes this one as many-0.pgp" in told
        names = {path.name for path in (account.home / "out").glob("many-*")}
        assert names == {f"many-{number}.pgp" for number in range(MOST_OF_ONE + 2)}

    def test_the_death_of_the_daemon_ends_a_gpg_that_hangs(
        self, tmp_path: Path, tls_files: Demonstration, ground: Ground
    ) -> None:
        """A stopped gpg is ended when it moves nothing: 451, others are served; and with the daemon, by the kernel."""
        rules = [{"paths": ["/**"], "encrypt_to": [ground.theirs], "sign_with": ground.ours, "timeout": "1s"}]
        daemon = Daemon(tmp_path / "d", tls_files, {"pgp": rules}, users=2)
        try:
            subprocess.run(["cp", "-r", ground.daemon.folder / "pgp", daemon.folder / "pgp"], check=True)
            daemon.start()
            with log_in(daemon, EXPLICIT_1_2, daemon.account()) as ftp:
                connection, pids = begun(daemon, ftp)
                for pid in pids:
                    os.kill(pid, signal.SIGSTOP)
                connection.sendall(random.Random(1).randbytes(60_000))
                with log_in(daemon, EXPLICIT_1_2, daemon.account()) as other:
                    assert put(other, "f", MARKER).startswith("226")
                assert isinstance(connection, ssl.SSLSocket)
                connection.unwrap()
                assert ftp.getmultiline().startswith("451")
                assert not [pid for pid in pids if is_alive(pid)]
                connection, pids = begun(daemon, ftp)
                for pid in pids:
                    os.kill(pid, signal.SIGSTOP)
                daemon.signal(signal.SIGKILL)
                eventually(lambda: not [pid for pid in pids if is_alive(pid)], "the end of gpg")
        finally:
            daemon.kill()


def is_alive(pid: int) -> bool:
    """Return whether the process runs, or is stopped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def begun(daemon: Daemon, ftp: ftplib.FTP) -> tuple[socket.socket, list[int]]:
    """Begin an upload; return its connection, and the processes of GnuPG that the daemon has for it."""
    ftp.voidcmd("TYPE I")
    connection = ftp.transfercmd("STOR held")

    def both() -> list[int]:
        found = gpgs_of(daemon.process)
        return found if len(found) == 2 else []

    return connection, eventually(both, "gpg and its agent")
