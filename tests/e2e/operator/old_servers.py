"""
Other servers as their packages ship them, with three users, and the configuration from which `ftpsd migrate` begins.

    with OldServer(PROFTPD) as old:   ->  it answers at old.port
        old.people, old.users         ->  what the command is given

alice may do everything in her home but for what is in `readonly`, where the server can say so; bob only reads; carol
may not log in at all. All of it is said in the words of that server's documentation.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.packages import Missing, Programs, default_cache
from bench.servers import MOUNTS, PAM
from ftpsd.demo.authority import Demonstration
from tests.e2e.daemon import PASSWORD
from tests.e2e.polling import eventually
from tests.e2e.ports import PortBlock
from tests.tools import missing
from tests.unit.migrating.other_machine import SHA512

NAMES = ("alice", "bob", "carol")
FIRST_UID, GID = 64_990, 65_534


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one server and its users: files in *folder*, homes in *homes*."""

    folder: Path
    ports: PortBlock
    tls: Demonstration
    programs: Programs

    @property
    def homes(self) -> Path:
        return self.folder / "homes"

    @property
    def passive(self) -> tuple[int, int]:
        return self.ports.passive[0], self.ports.passive[-1]

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        """Write a file of the server."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def shipped(self, name: str) -> str:
        """Return the text of a file of the package."""
        file = self.programs.file(f"/{name}")
        if not file.exists():
            raise Missing(f"{name} is not in the cache")
        return file.read_text()

    def passwd(self, *, hashed: str) -> str:
        """Return the users as lines of /etc/passwd."""
        lines = [
            f"{name}:{hashed}:{FIRST_UID + at}:{GID}::{self.homes / name}:/bin/sh" for at, name in enumerate(NAMES)
        ]
        return "\n".join(lines) + "\n"

    def make_homes(self) -> None:
        """Make the homes as they are before anybody has come."""
        shutil.rmtree(self.homes, ignore_errors=True)
        for at, name in enumerate(NAMES):
            for folder in ("inbox", "readonly"):
                (self.homes / name / folder).mkdir(parents=True)
            for file in ("old.txt", "readonly/keep.txt", "inbox/there.txt"):
                (self.homes / name / file).write_text(f"{file} of {name}\n")
            for each in (self.homes / name, *(self.homes / name).rglob("*")):
                os.chown(each, FIRST_UID + at, GID)
        (self.homes / "secret.txt").write_text("nobody's\n")

    def tree(self) -> dict[str, str | None]:
        """Return what is in and beside the homes: the contents of files, None for a folder."""
        everything = sorted(self.homes.rglob("*"))
        return {str(each.relative_to(self.homes)): each.read_text() if each.is_file() else None for each in everything}


@dataclass(frozen=True, slots=True)
class Made:
    """How a server is started, and what the command is given: *words* behind its name."""

    argv: list[str]
    words: list[str]
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OldServer:
    """
    A server: *set_up* writes its files; *is_tls* says how clients come.

    *bob_uploads* and *deletes*, by alice in `readonly`, are what its configuration here can and does say of these.
    """

    name: str
    set_up: Callable[[Place], Made]
    is_tls: bool = False
    bob_uploads: str = "refused"
    deletes: str = "refused"


def changed(text: str, values: Mapping[str, object], form: str) -> str:
    """Return a shipped configuration with other *values*; what it does not have comes to its end, spelt in *form*."""
    for name, value in values.items():
        line = form.format(name=name, value=value)
        # The path in it may hold what means something in a replacement.
        text, count = re.subn(rf"(?m)^{name}(?=[ =]).*$", line.replace("\\", r"\\"), text)
        text += "" if count else f"\n{line}\n"
    return text


def vsftpd(place: Place) -> Made:
    """Debian's vsftpd.conf, the users of the machine, and the lists and folders that its manual tells of."""
    program = place.programs.find("vsftpd")
    (place.folder / "empty").mkdir()
    place.write("own/bob", "write_enable=NO\n")
    passwd = place.write("passwd", place.passwd(hashed="x"))
    shadow = place.write("shadow", "".join(f"{name}:{SHA512}:19000::::::\n" for name in NAMES), 0o600)
    place.write("system/pam.d/vsftpd", PAM)
    values = {
        "listen": "YES",
        "listen_ipv6": "NO",
        "listen_port": place.ports.explicit,
        "background": "NO",
        "write_enable": "YES",
        "chroot_local_user": "YES",
        "allow_writeable_chroot": "YES",
        "secure_chroot_dir": place.folder / "empty",
        "user_config_dir": place.folder / "own",
        "userlist_enable": "YES",
        "userlist_file": place.write("denied", "carol\n"),
        "xferlog_enable": "NO",
        "connect_from_port_20": "NO",
        "deny_file": "{*.exe}",
        "pasv_min_port": place.passive[0],
        "pasv_max_port": place.passive[1],
        "ssl_enable": "YES",
        "ssl_ciphers": "HIGH",
        "rsa_cert_file": place.tls.certificate,
        "rsa_private_key_file": place.tls.private_key,
        # Of its own tests, not of the move: a network namespace takes a second a session.
        "isolate_network": "NO",
    }
    config = place.write("vsftpd.conf", changed(place.shipped("etc/vsftpd.conf"), values, "{name}={value}"))
    words = ["vsftpd", str(config), "--passwd", str(passwd), "--shadow", str(shadow)]
    return Made(_as_system(place, [str(program), str(config)]), words, {})


def proftpd(place: Place) -> Made:
    """Debian's proftpd.conf with users in a file, and the limits of its documentation."""
    program = place.programs.find("proftpd")
    modules = place.programs.file("/usr/lib/proftpd")
    users = place.write("ftpd.passwd", place.passwd(hashed=SHA512), 0o600)
    text = place.shipped("usr/share/proftpd/templates/proftpd.conf")
    # Files that it includes are not there before the package is configured.
    text = re.sub(r"(?m)^ *Include .*$", "", text)
    values = {
        "UseIPv6": "off",
        "Port": place.ports.explicit,
        "User": "nobody",
        "TransferLog": "none",
        "SystemLog": "none",
        "ControlsLog": place.folder / "controls.log",
        "ControlsSocket": place.folder / "controls.sock",
    }
    config = place.write(
        "proftpd.conf",
        f"ModulePath {modules}\nLoadModule mod_tls.c\n"
        + changed(text, values, "{name} {value}")
        + f"""
DefaultAddress 127.0.0.1
PidFile {place.folder}/pid
ScoreboardFile {place.folder}/scoreboard
WtmpLog off
DelayEngine off
ControlsEngine off
AuthOrder mod_auth_file.c
AuthUserFile {users}
DefaultRoot ~
PassivePorts {place.passive[0]} {place.passive[1]}
TLSEngine on
TLSRequired off
TLSECCertificateFile {place.tls.certificate}
TLSECCertificateKeyFile {place.tls.private_key}
<Limit LOGIN>
  DenyUser carol
</Limit>
<Limit WRITE>
  DenyUser bob
</Limit>
<Directory ~/readonly>
  <Limit WRITE>
    DenyAll
  </Limit>
</Directory>
""",
    )
    place.write("system/pam.d/proftpd", PAM)
    argv = _as_system(place, [str(program), "-n", "-c", str(config)])
    return Made(argv, ["proftpd", str(config)], {"LD_LIBRARY_PATH": place.programs.library_path})


def pure_ftpd(place: Place) -> Made:
    """Debian's pure-ftpd.conf with virtual users of pure-pw; carol may come from another network alone."""
    program = place.programs.find("pure-ftpd")
    lines = []
    for at, name in enumerate(NAMES):
        allowed = "192.0.2.0/24" if name == "carol" else ""
        home = f"{place.homes / name}/./"
        lines.append(f"{name}:{SHA512}:{FIRST_UID + at}:{GID}::{home}::::::::{allowed}::::")
    people = place.write("pureftpd.passwd", "\n".join(lines) + "\n", 0o600)
    database = place.folder / "pureftpd.pdb"
    maker = place.programs.find("pure-pw")
    environ = {"LD_LIBRARY_PATH": place.programs.library_path}
    subprocess.run(
        [str(maker), "mkdb", str(database), "-f", str(people)], check=True, env={**os.environ, **environ}, timeout=30
    )
    values = {
        "Daemonize": "no",
        "NoAnonymous": "yes",
        "PureDB": database,
        "Bind": f"127.0.0.1,{place.ports.explicit}",
        "PassivePortRange": f"{place.passive[0]} {place.passive[1]}",
        "PIDFile": place.folder / "pid",
        "KeepAllFiles": "yes",
        "CertFileAndKey": f'"{place.tls.certificate}" "{place.tls.private_key}"',
        "TLS": "1",
    }
    config = place.write(
        "pure-ftpd.conf", changed(place.shipped("etc/pure-ftpd/pure-ftpd.conf"), values, "{name} {value}")
    )
    return Made(_as_system(place, [str(program), str(config)]), ["pure-ftpd", str(config)], environ)


PROGRAM = """\
import ast, base64, hashlib, sys
from pyftpdlib.authorizers import AuthenticationFailed, DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

class Authorizer(DummyAuthorizer):
    def validate_authentication(self, name, password, handler):
        stored = self.user_table.get(name, {}).get("pwd", "")
        if not stored or not self.is_right(password, *stored.split("$")[2:]):
            raise AuthenticationFailed("Authentication failed.")

    def is_right(self, password, rounds, salt, digest):
        salt, digest = (base64.b64decode(each.replace(".", "+") + "=" * (-len(each) % 4)) for each in (salt, digest))
        return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, int(rounds)) == digest

authorizer = Authorizer()
for name, user in ast.literal_eval(open(sys.argv[1]).read()).items():
    authorizer.add_user(name, user["pwd"], user["home"], user["perm"])
    for path, (perm, is_below) in user.get("operms", {}).items():
        authorizer.override_perm(name, path, perm, is_below)
FTPHandler.authorizer = authorizer
FTPHandler.auth_failed_timeout = 0
FTPHandler.passive_ports = range(int(sys.argv[3]), int(sys.argv[4]) + 1)
FTPServer(("127.0.0.1", int(sys.argv[2])), FTPHandler).serve_forever()
"""


def pyftpdlib(place: Place) -> Made:
    """A program as its tutorial has it, with hashes in place of passwords, and `operms` for the folder."""
    packages = place.programs.find("pyftpdlib").parent
    salt = b"\0" * 16
    made = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, 1000)
    salt_text, digest = (base64.b64encode(each).decode().rstrip("=").replace("+", ".") for each in (salt, made))
    stored = f"$pbkdf2-sha256$1000${salt_text}${digest}"
    homes = {name: str(place.homes / name) for name in NAMES}
    table = {
        "alice": {
            "pwd": stored,
            "home": homes["alice"],
            "perm": "elradfmwMT",
            "operms": {f"{homes['alice']}/readonly": ("elr", True)},
        },
        "bob": {"pwd": stored, "home": homes["bob"], "perm": "elr"},
        "carol": {"pwd": "", "home": homes["carol"], "perm": "elr"},
    }
    config = place.write("table.py", repr(table), 0o600)
    program = place.write("server.py", PROGRAM)
    argv = ["/usr/bin/python3", str(program), str(config), str(place.ports.explicit), *map(str, place.passive)]
    return Made(argv, ["pyftpdlib", str(config)], {"PYTHONPATH": str(packages)})


SERVERS = (
    # Of vsftpd's nothing is about one folder; of Pure-FTPd's no option about writing is about one user.
    OldServer("vsftpd", vsftpd, is_tls=True, deletes="done"),
    OldServer("proftpd", proftpd),
    OldServer("pure-ftpd", pure_ftpd, bob_uploads="done"),
    OldServer("pyftpdlib", pyftpdlib),
)


def _as_system(place: Place, argv: list[str]) -> list[str]:
    """Return the command that runs *argv* with our users as the system's."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        missing("root and unshare, to give a server users")
    place.write("system/passwd", Path("/etc/passwd").read_text() + place.passwd(hashed="x"))
    place.write("system/shadow", "".join(f"{name}:{SHA512}:19000::::::\n" for name in NAMES), 0o600)
    (place.folder / "system/pam.d").mkdir(exist_ok=True)
    return ["unshare", "--mount", "sh", "-c", MOUNTS, "sh", str(place.folder / "system"), *argv]


def programs() -> Programs:
    """Return where the servers are unpacked."""
    return Programs(default_cache(), may_fetch=True)


class Running:
    """A server that runs, until it is left."""

    def __init__(self, place: Place, made: Made) -> None:
        self._log = place.folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                made.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **made.environ},
                start_new_session=True,
            )
        self._port = place.ports.explicit

    def __enter__(self) -> None:
        eventually(self._answers, "it answers", 60)

    def __exit__(self, *_: object) -> None:
        # With the sessions that it has begun.
        os.killpg(self._process.pid, 9)
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text(errors="replace")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
