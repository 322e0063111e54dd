"""
FileZilla Server 1.x: settings.xml, which has listeners, passive ports, certificate, timeouts and the greeting.

Durations are milliseconds, modes of TLS are numbers: 0 allows it, 1 is implicit, 2 demands it.
"""

from __future__ import annotations

from typing import Any, Final
from xml.etree import ElementTree

from ftpsd.migrating import numbers
from ftpsd.migrating.migration import Migration

_IMPLICIT: Final = "1"
_MODES: Final = {"0": "explicit", _IMPLICIT: "implicit", "2": "explicit"}
# TLS 1.0 and 1.1 are written, too, and taken for 1.2 by FileZilla Server itself.
_TLS_1_3: Final = frozenset({"3", "1.3"})
_TIMES: Final = (("login_timeout", "limits.login_timeout"), ("activity_timeout", "limits.idle_timeout"))


def settle(made: Migration, top: ElementTree.Element, place: str) -> None:
    """Carry over what the settings in *top*, read from the file called *place*, say of the server."""
    server = _below(top, "ftp_server")
    if server is None:
        made.leave(place, "ftp_server", "there is none: write listeners, certificate and passive ports")
        return
    _listeners(made, server, place)
    _passive(made, server, place)
    _protection(made, server, place)
    for name, key in _TIMES:
        value = _text(top, "all_protocols", "timeouts", name)
        time = numbers.seconds(str((numbers.number(value) or 0) // 1000))
        if time is not None:
            made.carry(place, name, key, time)
        elif value:
            made.leave(place, name, "ftpsd has its own value", key)
    if welcome := _text(server, "welcome_message"):
        _say(made, place, "welcome_message", "banner", numbers.line(welcome))
    if _below(top, "all_protocols", "autobanner") is not None:
        made.leave(place, "autobanner", "ftpsd bans by `penalties`", "penalties")


def _listeners(made: Migration, server: ElementTree.Element, place: str) -> None:
    found: list[dict[str, Any]] = []
    are_clear = False
    for each in (each for each in server if name_of(each) == "listener"):
        address, port = numbers.address(_text(each, "address")), numbers.port(_text(each, "port"))
        mode = _text(each, "tls_mode") or "0"
        if address is None or port is None or mode not in _MODES:
            made.leave(place, "listener", "its address, port or mode of TLS cannot be one here", "listeners")
            continue
        are_clear = are_clear or mode == "0"
        listener = {"mode": _MODES[mode], "address": address, "port": port}
        if listener not in found:
            found.append(listener)
    if found:
        # "::" is both families here, so one for 0.0.0.0 beside it is the same socket.
        both = [each for each in found if each["address"] != "0.0.0.0" or {**each, "address": "::"} not in found]
        made.carry(place, "listener", "listeners", both)
    else:
        made.leave(place, "listener", "there is none that could be one here: write them", "listeners")
    if are_clear:
        why = "passwords could go in clear, and still may. Tell clients to use TLS, then take `require: none` out"
        made.carry(place, "tls_mode", "tls.require", "none", why)


def _passive(made: Migration, server: ElementTree.Element, place: str) -> None:
    low, high = (_text(server, "session", "pasv", "port_range", name) for name in ("min", "max"))
    ports = numbers.ports(*sorted((low, high), key=lambda each: numbers.number(each) or 0))
    why = "" if ports else "any port was taken; ftpsd has a range, which a firewall can open"
    made.carry(place, "port_range", "passive.ports", ports or "3000-3050", why)
    if override := _text(server, "session", "pasv", "host_override"):
        _say(made, place, "host_override", "passive.public_address", numbers.public(override))
        if _text(server, "session", "pasv", "do_not_override_host_if_peer_is_local") != "false":
            why = "name your own networks: clients of these were told the address that they had reached"
            made.leave(place, "do_not_override_host_if_peer_is_local", why, "passive.public_address_for")


def _protection(made: Migration, server: ElementTree.Element, place: str) -> None:
    tls = _below(server, "session", "tls")
    found = {} if tls is None else {name_of(each): (each.text or "").strip() for each in tls.iter()}
    key, certificate = numbers.file(found.get("keyfile", "")), numbers.file(found.get("certsfile", ""))
    if key is not None and certificate is not None:
        made.carry(place, "certificate", "tls.certificate", certificate)
        made.settings["tls.private_key"] = key
    else:
        why = "is FileZilla Server's own, or on a disk of Windows: put certificate and key in place, and name them"
        made.leave(place, "certificate", why, "tls.certificate")
    if found.get("password"):
        made.leave(place, "password of the key", "ftpsd takes keys without one: openssl pkey -in OLD -out NEW", "tls")
    least = "" if tls is None else next((v for k, v in tls.attrib.items() if k.endswith("min_protocol_version")), "")
    if least.lstrip("v").replace("_", ".") in _TLS_1_3:
        made.carry(place, "min_protocol_version", "tls.minimum_version", "1.3")


def _say(made: Migration, place: str, setting: str, key: str, value: str | None) -> None:
    if value is None:
        made.leave(place, setting, "ftpsd cannot have this value", key)
    else:
        made.carry(place, setting, key, value)


def name_of(element: ElementTree.Element) -> str:
    """Return the name of *element* without its namespace."""
    return element.tag.rpartition("}")[2]


def _below(element: ElementTree.Element, *names: str) -> ElementTree.Element | None:
    """Return the first element on the way of *names* below *element*."""
    found: ElementTree.Element | None = element
    for name in names:
        found = None if found is None else next((each for each in found if name_of(each) == name), None)
    return found


def _text(element: ElementTree.Element, *names: str) -> str:
    found = _below(element, *names)
    return "" if found is None else (found.text or "").strip()
