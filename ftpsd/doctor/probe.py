"""
A visit to the running daemon over loopback: greeting, TLS, and with a password a login and a listing.

The password is sent only to a server that has the certificate of the configuration, so never to another program that
has taken the port.
"""

from __future__ import annotations

import ftplib
import hashlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from ftpsd.config.model import Config, Listener, ProxyProtocol
from ftpsd.doctor.finding import Finding, ok, problem, warning
from ftpsd.doctor.untrusted import remedy
from ftpsd.service.listeners import ANY_IPV4, ANY_IPV6, listener_name
from ftpsd.tls.certificates import CertificatePair

# Seconds for each step. The server is on this machine.
TIMEOUT = 10.0
LOOPBACK = "127.0.0.1"
# The sockets of systemd's socket units, unless they were changed.
USUAL_PORT = {"explicit": 21, "implicit": 990}
# Everything that a server, or a program in its place, can make a client raise.
FAILURES = (OSError, EOFError, ftplib.Error)


@dataclass(frozen=True, slots=True)
class Door:
    """One listener, as a client on this machine reaches it."""

    name: str
    is_implicit: bool
    host: str
    port: int
    proxies: ProxyProtocol | None
    data_proxies: ProxyProtocol | None
    speaks_1_2: bool = True


@dataclass(frozen=True, slots=True)
class Login:
    """The user to log in, and the password."""

    user: str
    password: str = field(repr=False)


def doors(config: Config) -> list[Door]:
    """Return the listeners that can be visited: their port is known."""
    found = [_door(config, listener) for listener in config.listeners]
    return [door for door in found if door.port]


def visit(door: Door, pair: CertificatePair | None, authority: Path | None, login: Login | None) -> Iterator[Finding]:
    """Yield the findings of a client at *door*."""
    if door.proxies is not None and not _trusts(door.proxies, LOOPBACK):
        yield ok(f"{door.name} takes connections from its proxies only, so it was not visited")
        return
    ftp = Client(door, _unchecked())
    try:
        ftp.arrive()
        yield ok(f"{door.name} greets: {_shown(ftp.welcome or '')}")
        if not door.is_implicit and pair is not None:
            ftp.auth()
        if pair is None:
            return
        yield from _look_at_tls(ftp, pair)
        if pair.also and door.speaks_1_2:
            yield from _look_at_each(door, pair)
        yield _look_at_chain(door, authority)
        if login is not None:
            yield from _log_in(ftp, login, pair)
        ftp.quit()
    except ConnectionRefusedError:
        yield problem(
            f"{door.name}: nobody listens on {door.host}, port {door.port}",
            "start the daemon: systemctl start ftpsd, or ftpsd serve --config FILE",
        )
    except FAILURES as error:
        yield problem(f"{door.name}: {_shown(str(error)) or 'the connection was closed'}", "look into the daemon's log")
    finally:
        ftp.close()


class Client(ftplib.FTP_TLS):
    """
    ftplib's client with the parts it lacks: implicit TLS, TLS sessions resumed by data connections, PROXY headers.
    """

    def __init__(self, door: Door, context: ssl.SSLContext) -> None:
        super().__init__(context=context, timeout=TIMEOUT)
        self.is_resumed = False
        self._door = door

    def arrive(self) -> None:
        """Connect, and read the greeting."""
        door = self._door
        self.host, self.port = door.host, door.port
        connection = socket.create_connection((door.host, door.port), TIMEOUT)
        self.sock, self.af = connection, connection.family
        _introduce(connection, door.proxies)
        if door.is_implicit:
            self.sock = self.context.wrap_socket(connection)
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()

    @property
    def secure(self) -> ssl.SSLSocket:
        """The control connection, under TLS."""
        assert isinstance(self.sock, ssl.SSLSocket)
        return self.sock

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Start a transfer in passive mode, in the TLS session of the control connection."""
        port = int(self.sendcmd("EPSV").split("|")[3])
        connection = socket.create_connection((self._door.host, port), TIMEOUT)
        try:
            _introduce(connection, self._door.data_proxies)
            reply = self.sendcmd(cmd)
            if not reply.startswith("1"):
                raise ftplib.error_reply(reply)
            secure = self.context.wrap_socket(connection, session=self.secure.session)
        except BaseException:
            connection.close()
            raise
        self.is_resumed = bool(secure.session_reused)
        return secure, None


def _door(config: Config, listener: Listener) -> Door:
    port = USUAL_PORT[listener.mode] if listener.socket is not None else listener.port
    anywhere = listener.socket is not None or listener.address in (ANY_IPV4, ANY_IPV6)
    return Door(
        name=listener_name(listener, port),
        is_implicit=listener.mode == "implicit",
        host=LOOPBACK if anywhere else listener.address,
        port=port,
        proxies=listener.proxy_protocol,
        data_proxies=config.passive.proxy_protocol,
        speaks_1_2=config.tls.minimum_version == "1.2",
    )


def _introduce(connection: socket.socket, proxies: ProxyProtocol | None) -> None:
    """Send the header of a proxy where this address is taken for one."""
    (host, port), (reached, reached_port) = connection.getsockname()[:2], connection.getpeername()[:2]
    if proxies is not None and _trusts(proxies, host):
        kind = "TCP6" if ":" in host else "TCP4"
        connection.sendall(f"PROXY {kind} {host} {reached} {port} {reached_port}\r\n".encode())


def _trusts(proxies: ProxyProtocol, host: str) -> bool:
    return any(ip_address(host) in network for network in proxies.trusted)


def _look_at_tls(ftp: Client, pair: CertificatePair) -> Iterator[Finding]:
    """Report the negotiated version and suite, and whether the certificate is that of the configuration."""
    yield ok(f"TLS works: {ftp.secure.version()}, {(ftp.secure.cipher() or ('unknown',))[0]}")
    if not _shows(ftp, pair):
        yield problem(
            "the running daemon shows another certificate than tls.certificate holds",
            "reload it: systemctl reload ftpsd; then look whether something else listens on the port",
        )


def _shows(ftp: Client, pair: CertificatePair) -> bool:
    return _shown_certificate(ftp) in pair.fingerprints


def _shown_certificate(ftp: Client) -> str:
    shown = ftp.secure.getpeercert(binary_form=True) or b""
    return f"sha256:{hashlib.sha256(shown).hexdigest()}"


def _look_at_each(door: Door, pair: CertificatePair) -> Iterator[Finding]:
    """Report whether clients that understand one kind of key only are shown the pair of that kind."""
    # Ed25519 and Ed448 have no suites of their own.
    for each in (each for each in pair.all if each.kind in ("RSA", "ECDSA")):
        context = _unchecked()
        # TLS 1.3 names no kind of key in its suites, and Python's module sets no signature algorithms.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"ECDHE+a{each.kind}")
        ftp = Client(door, context)
        try:
            ftp.arrive()
            if not door.is_implicit:
                ftp.auth()
            if _shown_certificate(ftp) == each.fingerprint:
                yield ok(f"a client that understands {each.kind} only is shown the certificate with that key")
            else:
                yield problem(
                    f"a client that understands {each.kind} only is shown another certificate than is configured",
                    "reload the daemon: systemctl reload ftpsd",
                )
        except ssl.SSLError as error:
            reason = _shown(error.reason or "no reason given")
            yield problem(
                f"a client that understands {each.kind} only is refused ({reason})",
                "reload the daemon: systemctl reload ftpsd",
            )
        finally:
            ftp.close()


def _look_at_chain(door: Door, authority: Path | None) -> Finding:
    """Verify the chain as clients do, by the authorities of this machine, or *authority* alone."""
    context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    context.check_hostname = False
    ftp = Client(door, context)
    trusting = "this machine's authorities" if authority is None else str(authority)
    try:
        ftp.arrive()
        if not door.is_implicit:
            ftp.auth()
    except ssl.SSLCertVerificationError as error:
        text = f"the certificate chain is not accepted by {trusting} ({error.verify_message})"
        advice = remedy(error.verify_code, is_named=authority is not None)
        return warning(text, advice) if authority is None else problem(text, advice)
    finally:
        ftp.close()
    return ok(f"the certificate chain is accepted by {trusting}")


def _log_in(ftp: Client, login: Login, pair: CertificatePair) -> Iterator[Finding]:
    """Log in, look at the passive answer, and list the home over a data connection."""
    if not _shows(ftp, pair):
        yield problem("no password was sent to a server with another certificate", "see above")
        return
    try:
        ftp.login(login.user, login.password, secure=False)
    except ftplib.Error as error:
        yield problem(f"{login.user} cannot log in: {_shown(str(error))}", "the audit log has the reason")
        return
    yield ok(f"{login.user} can log in")
    ftp.prot_p()
    if ":" not in ftp.host:
        yield ok(f"PASV answers {ftplib.parse227(ftp.sendcmd('PASV'))[0]}")
    lines: list[str] = []
    ftp.retrlines("LIST", lines.append)
    if ftp.is_resumed:
        yield ok(f"a listing of {len(lines)} entries came over a data connection that resumed the TLS session")
    else:
        yield warning("the data connection did not resume the TLS session", "look at tls.data_session_reuse")


def _unchecked() -> ssl.SSLContext:
    """Return a context that talks to any server: its certificate is checked afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _shown(text: str) -> str:
    """Return a server's text in one line that is safe to print."""
    return "".join(letter if letter.isprintable() else " " for letter in text.strip())[:200]
