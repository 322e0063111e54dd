"""The server that `ftpsd doctor --from-outside` looks at: a name, an address, or a URL as clients have them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

# Schemes of clients' URLs (curl, FileZilla, WinSCP), and whether TLS begins with the connection.
_SCHEMES = {"ftp": False, "ftpes": False, "ftps": True}


@dataclass(frozen=True, slots=True)
class OutsideServer:
    """A *host*, and the ports for explicit and implicit TLS where the text names one."""

    host: str
    port: int | None = None
    implicit_port: int | None = None


def outside_server(text: str) -> OutsideServer:
    """Return the server that *text* names. Raises: ValueError with a sentence for the operator."""
    if "://" not in text:
        return OutsideServer(_host(text))
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(f"{text!r} is no URL; write a name such as ftp.example.com") from None
    is_implicit = _SCHEMES.get(url.scheme)
    if is_implicit is None:
        raise ValueError(f"{url.scheme}:// is not FTP; write ftp://, ftpes:// or ftps://, or the name alone")
    if url.username is not None:
        raise ValueError("a URL with a user or a password is not taken; name the user with --user NAME")
    if url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError("a URL with a path is not taken; name the directory for the test file with --directory DIR")
    host = _host(url.hostname or "")
    return OutsideServer(host, implicit_port=port) if is_implicit else OutsideServer(host, port)


def _host(text: str) -> str:
    """Return a name in ASCII (RFC 5890), or an address without brackets."""
    name = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ip_address(name))
    except ValueError:
        pass
    before, colon, behind = name.partition(":")
    if colon and before and behind.isdecimal():
        raise ValueError(f"a port stands apart: --from-outside {before} --port {behind}")
    try:
        ascii_name = name.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_name = ""
    if not ascii_name or any(not (each.isalnum() or each in "-._") for each in ascii_name):
        raise ValueError(f"{text!r} is neither the name nor the address of a server")
    return ascii_name
