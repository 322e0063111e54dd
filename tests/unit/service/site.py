"""A site for a test: a good configuration in a folder, and a daemon on a reactor that opens no port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError

from ftpsd.audit.events import Event
from ftpsd.demo.authority import create
from ftpsd.service.daemon import Daemon
from ftpsd.service.load import load
from tests.reactor import Reactor

USERS = """\
users:
  alice:
    home: {home}
"""
CONFIG = """\
listeners:
  - {{mode: explicit, address: 127.0.0.1, port: 2121}}
  - {{mode: implicit, address: 127.0.0.1, port: 2990}}
tls:
  certificate: tls/server.pem
  private_key: tls/server-key.pem
users: users.yaml
audit:
  log: {folder}/audit.log
metrics:
  port: 9121
control_socket: null
state: {folder}/state.db
drain_timeout: 10s
{more}
"""


class Site:
    """The files of a daemon in *folder*; `write` changes ftpsd.yaml."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "ftpsd.yaml"
        self.users = folder / "users.yaml"
        (folder / "home").mkdir()
        create(folder / "tls")
        self.write_users(USERS.format(home=folder / "home"))
        self.write()

    def write(self, more: str = "") -> None:
        """Write ftpsd.yaml with *more* at its end."""
        self.path.write_text(CONFIG.format(folder=self.folder, more=more))

    def replace(self, old: str, new: str) -> None:
        """Change a piece of ftpsd.yaml."""
        text = self.path.read_text()
        assert old in text
        self.path.write_text(text.replace(old, new))

    def write_users(self, text: str) -> None:
        """Write users.yaml."""
        self.users.write_text(text)
        self.users.chmod(0o600)


class FakePort:
    """A port that listens to nobody."""

    def __init__(self, port: int, interface: str) -> None:
        self.is_listening = self.is_accepting = True
        self._address = (IPv6Address if ":" in interface else IPv4Address)("TCP", interface, port)

    def getHost(self) -> Any:
        return self._address

    def stopReading(self) -> None:
        self.is_accepting = False

    def startReading(self) -> None:
        self.is_accepting = True

    def stopListening(self) -> None:
        self.is_listening = False


class PortReactor(Reactor):
    """A reactor whose ports are fakes; *refuse* says which cannot be bound, with which errno."""

    def __init__(self, refuse: Callable[[int, str], int | None] = lambda port, interface: None) -> None:
        super().__init__()
        self.ports: dict[int, FakePort] = {}
        self.adopted: list[tuple[int, int]] = []
        self._refuse = refuse

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> FakePort:
        """Open a port."""
        number = self._refuse(port, interface)
        if number is not None:
            raise CannotListenError(interface, port, OSError(number, "no"))
        opened = self.ports[port] = FakePort(port, interface)
        return opened

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> FakePort:
        """Take a socket of systemd's."""
        self.adopted.append((descriptor, family))
        return FakePort(0, "0.0.0.0")

    @property
    def listening(self) -> set[int]:
        """The ports that are open."""
        return {number for number, port in self.ports.items() if port.is_listening}


@contextmanager
def serving(site: Site) -> Iterator[tuple[Daemon, Any, list[Event]]]:
    """Run the daemon of *site*, with its reactor and what it publishes."""
    reactor: Any = PortReactor()
    daemon = Daemon(load(site.path), site.path, reactor)
    events: list[Event] = []
    daemon.parts.bus.subscribe(lambda event, seconds: events.append(event))
    daemon.open()
    daemon.startService()
    try:
        yield daemon, reactor, events
    finally:
        over: list[object] = []
        if daemon.running:
            daemon.stopService().addBoth(over.append)
            while not over:
                reactor.advance(0.1)
