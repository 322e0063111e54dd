"""
The demonstration: everything a first look at the server needs, in one directory, and the lines to paste.

It writes an ordinary ftpsd.yaml and users.yaml, with certificates of its own, for clients of this machine only, unless
it is to listen on a further address. A
directory that is given stays, and its certificates, users and files serve the next time too; ftpsd.yaml is written
anew, because it says what the command line said. Files that the demonstration did not write are never replaced, and
a directory that others can write to is not taken (`ours.py`). The terminal has lines for people (`pasting.py` at the
start, `telling.py` from then on), the audit log is a file.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from ftpsd import start
from ftpsd.auth.hashing.passwords import hash_password
from ftpsd.config.control_socket import LONGEST_PATH
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.config.users import UserRecord, check_name, read_users
from ftpsd.demo import authority
from ftpsd.demo.ours import NotOurs, own_folder, own_subfolder, require_own_file, write
from ftpsd.demo.pasting import instructions
from ftpsd.demo.telling import Telling
from ftpsd.service import daemon
from ftpsd.tls.certificates import CertificatePair

MARK = "# Written by `ftpsd demo`"
IPV4, IPV6 = "127.0.0.1", "::1"
# 16 letters out of 64: no shell and no client needs to quote them.
PASSWORD_BYTES = 12
FILES = ("ftpsd.yaml", "users.yaml", ".users.yaml.lock", "audit.log", "hello.txt", "state.db")
WELCOME = "Welcome to ftpsd. What you upload lies beside this file.\n"
PARCEL = "This file was uploaded.\n"


class DemoProblem(Exception):
    """A reason not to start, in a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """
    The choices of who starts a demonstration; a port of 0 means any that is free, *password* None a random one.

    *listen* are further addresses of this machine, for clients of other machines.
    """

    port: int = 2121
    implicit_port: int = 2990
    passive_ports: str = "3000-3050"
    metrics_port: int = 9121
    user: str = "demo"
    password: str | None = None
    listen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Demo:
    """A demonstration that is ready to be served; *password* None: the one set when the directory was new."""

    directory: Path
    addresses: tuple[str, ...]
    port: int
    implicit_port: int
    metrics_port: int
    user: str
    password: str | None
    authority: Path
    fingerprint: str

    @property
    def config(self) -> Path:
        return self.directory / "ftpsd.yaml"

    @property
    def audit_log(self) -> Path:
        return self.directory / "audit.log"

    @property
    def parcel(self) -> Path:
        """The file that the printed lines upload."""
        return self.directory / "hello.txt"


def demo(directory: Path | None, wishes: Wishes, serve: Callable[[Path], int] | None = None) -> int:
    """Set up a demonstration in *directory* (None: a temporary one), tell how to use it, serve; return the code."""
    serve = serve or partial(start.serve, watch=Telling(partial(print, flush=True)))
    with _state(directory) as state:
        try:
            ready = prepare(state, wishes)
        except (DemoProblem, NotOurs) as problem:
            print(problem, file=sys.stderr)
            return daemon.EXIT_BAD_CONFIGURATION
        except OSError as error:
            print(f"{error.filename or state}: {error.strerror}; choose another --directory", file=sys.stderr)
            return daemon.EXIT_BAD_CONFIGURATION
        print(instructions(ready, is_kept=directory is not None), flush=True)
        return serve(ready.config)


@contextmanager
def _state(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        yield Path(os.path.abspath(directory))
        return
    temporary = Path(tempfile.mkdtemp(prefix="ftpsd-demo-"))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def prepare(directory: Path, wishes: Wishes) -> Demo:
    """
    Write what is missing into *directory* and find the ports.

    Raises:
        DemoProblem: a port is in use, or a file of another kind is in the way.
        NotOurs: the directory, or a file in it, is another user's.
        OSError: the directory cannot be written.
    """
    _check_login(wishes.user, wishes.password)
    for address in wishes.listen:
        _check_address(address)
    own_folder(directory)
    for name in FILES:
        require_own_file(directory / name)
    for name in ("ftpsd.yaml", "users.yaml"):
        _refuse_foreign(directory / name)
    addresses = (IPV4, IPV6, *wishes.listen) if _has_ipv6() else (IPV4, *wishes.listen)
    ports = (
        _free_port(addresses, wishes.port, "--port"),
        _free_port(addresses, wishes.implicit_port, "--implicit-port"),
    )
    metrics_port = _free_port((IPV4,), wishes.metrics_port, "--metrics-port")
    own_subfolder(directory / "tls")
    for entry in os.listdir(directory / "tls"):
        require_own_file(directory / "tls" / entry)
    files = authority.create(directory / "tls", addresses=wishes.listen)
    pair = CertificatePair.load(files.certificate, files.private_key)
    home = directory / "home"
    if own_subfolder(home):
        write(home / "welcome.txt", WELCOME)
    password = _settle_password(directory / "users.yaml", wishes.user, wishes.password)
    ready = Demo(directory, addresses, *ports, metrics_port, wishes.user, password, files.authority, pair.fingerprint)
    write(ready.parcel, PARCEL)
    write(ready.config, _config_text(ready, wishes.passive_ports))
    return ready


def _config_text(demo: Demo, passive_ports: str) -> str:
    listeners = "".join(
        f"  - {{mode: {mode}, address: {json.dumps(address)}, port: {port}}}\n"
        for mode, port in (("explicit", demo.port), ("implicit", demo.implicit_port))
        for address in demo.addresses
    )
    return f"""\
{MARK}, anew at every start. An ordinary configuration: `ftpsd serve --config` takes it too.
listeners:
{listeners}tls:
  certificate: tls/server.pem
  private_key: tls/server-key.pem
passive:
  ports: {json.dumps(passive_ports)}
active:
  source_port: 0
users: users.yaml
audit:
  log: audit.log
state: state.db
metrics: {{address: {json.dumps(IPV4)}, port: {demo.metrics_port}, sessions: true}}
control_socket: {json.dumps(_control_socket(demo))}
drain_timeout: 5s
"""


def _control_socket(demo: Demo) -> str | None:
    """Return where the control socket is: in the directory, unless that is too deep for the path of a socket."""
    path = demo.directory / "control.sock"
    return path.name if len(os.fsencode(path)) <= LONGEST_PATH else None


def _settle_password(path: Path, user: str, password: str | None) -> str | None:
    """Give *user* a password in the users file at *path* and return it; None where the old one stays."""
    text = f"{MARK}; it stays as it is while the demonstration knows the user.\nusers:\n"
    stored = None
    if path.exists():
        text = path.read_text()
        record = _users(path, text).get(user)
        stored = record.password if record else None
        if stored is not None and password is None:
            return None
        if record is not None and stored is None:
            raise DemoProblem(f"{path}: {user} has no password; give one in the file, or take another --user")
    password = password or secrets.token_urlsafe(PASSWORD_BYTES)
    hashed = hash_password(password)
    if stored is not None:
        # The salt makes a hash unique, so nothing else in a file that people may have edited changes.
        text = text.replace(stored, hashed)
    else:
        entry = f"  {json.dumps(user)}:\n    password: {json.dumps(hashed)}\n    home: home\n"
        text = text.rstrip("\n") + "\n" + entry
    _users(path, text)
    write(path, text)
    return password


def _users(path: Path, text: str) -> Mapping[str, UserRecord]:
    """Return the users in *text*, which is or becomes the users file at *path*."""
    try:
        return read_users(text, str(path), path.parent).users
    except ConfigErrors as problem:
        raise DemoProblem("\n".join(map(str, problem.errors))) from None


def _check_login(user: str, password: str | None) -> None:
    try:
        check_name(user)
    except ValueError as error:
        raise DemoProblem(f"--user: {error}") from None
    if any(letter in user for letter in ":,"):
        raise DemoProblem("--user: a name with : or , cannot be given to curl and lftp on a command line")
    if password is not None and not (password and password.isprintable()):
        raise DemoProblem("--password: a password is at least one character, and all of them can be printed")


def _check_address(address: str) -> None:
    try:
        found = ip_address(address)
    except ValueError:
        raise DemoProblem(f"--listen: {address} is no IP address of this machine; `ip address` shows them") from None
    if found.is_unspecified or found.is_loopback or found.is_multicast:
        raise DemoProblem(f"--listen: name one address of this machine, for its certificate; {address} is none")


def _refuse_foreign(path: Path) -> None:
    if path.exists() and not path.read_text(errors="replace").startswith(MARK):
        raise DemoProblem(f"{path} was not written by `ftpsd demo` and stays as it is; choose another --directory")


def _has_ipv6() -> bool:
    try:
        _try_port(IPV6, 0)
    except OSError:
        return False
    return True


def _free_port(addresses: tuple[str, ...], port: int, option: str) -> int:
    """Return *port*, or any for 0, when it can be bound on all *addresses*."""
    for _ in range(100):
        chosen = port or _try_port(addresses[0], 0)
        try:
            for address in addresses:
                _try_port(address, chosen)
        except OSError as error:
            if port == 0:
                continue
            if error.errno == errno.EADDRINUSE:
                raise DemoProblem(f"{option}: port {port} is in use; choose another, or 0 for any") from None
            raise DemoProblem(f"{option}: port {port} cannot be opened: {error.strerror}") from None
        return chosen
    raise DemoProblem(f"{option}: no port is free")


def _try_port(address: str, port: int) -> int:
    """Bind *port* of *address* for a moment, as the daemon will; return its number."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((address, port))
        trial.listen()
        number: int = trial.getsockname()[1]
        return number
