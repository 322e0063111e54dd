"""
FileZilla Server 1.x: users.xml, and settings.xml beside it. The XML may have no DTD, and so no entities of its own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from ftpsd.migrating import numbers
from ftpsd.migrating.migration import Migration, Person, Rules, networks_of, permitted, without
from ftpsd.migrating.old_machine import MigrationError, OldMachine
from ftpsd.migrating.servers.filezilla_settings import name_of, settle
from ftpsd.values.permission import ALL, Permission

_READ: Final = frozenset({Permission.LIST, Permission.READ})
_STRUCTURE: Final = frozenset({Permission.MKDIR, Permission.RMDIR, Permission.RENAME})
_MOUNT: Final = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}){1,20}")
_BASE64: Final = re.compile(r"([A-Za-z0-9+/]{1,172})={0,2}")
_ALL_ADDRESSES: Final = frozenset({"*", "0.0.0.0/0", "::/0"})
# Of a user, what has no word here; what is in them restricts, so the user waits for a look.
_RESTRICTING: Final = ("groups", "group")


def migrate(machine: OldMachine, path: Path) -> Migration:
    """Read users.xml at *path*, and settings.xml where that is beside it. Raises: MigrationError."""
    top = _read(machine, path)
    made = Migration("FileZilla Server")
    settings = path.with_name("settings.xml")
    if settings != path and settings.is_file():
        settle(made, _read(machine, settings), settings.name)
    else:
        why = "is in settings.xml, which is not beside it: write listeners, certificate and passive ports"
        made.leave(path.name, "the configuration of the server", why)
    for element in top:
        if name_of(element) == "user":
            person = made.person(element.get("name", ""), path.name)
            if person is not None:
                _describe(person, element)
        elif name_of(element) == "group":
            made.leave(path.name, "group", "groups are not carried over; their users are disabled", "users")
    return made


def _read(machine: OldMachine, path: Path) -> ElementTree.Element:
    """Return the XML in the file at *path*. Raises: MigrationError."""
    text = machine.text(path)
    # From text that is decoded already, no declared encoding can hide these words.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise MigrationError(f"{path}: has a DTD, which FileZilla Server never writes.")
    try:
        top = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        raise MigrationError(f"{path}: is no XML.") from None
    if name_of(top) != "filezilla":
        raise MigrationError(f"{path}: is no file of FileZilla Server 1.x, which begins with <filezilla>.")
    return top


def _describe(person: Person, user: ElementTree.Element) -> None:
    found = {name_of(each): each for each in user}
    person.set_hash(_hash(found.get("password")))
    if user.get("enabled", "true") != "true":
        person.shut_out("was disabled")
    mounts: list[dict[str, Any]] = []
    home, rules = "", Rules()
    for each in (each for each in user if name_of(each) == "mount_point"):
        place, directory = each.get("tvfs_path", ""), each.get("native_path") or each.get("new_native_path") or ""
        allow = _allowed(person, each)
        if place == "/":
            home, rules = directory, [("/**", allow)]
        elif _MOUNT.fullmatch(place) and numbers.file(directory) and place not in [mount["path"] for mount in mounts]:
            mounts.append(
                {"path": place, "directory": directory, "rules": [{"path": "/**", "allow": permitted(allow)}]}
            )
        else:
            person.shut_out("a mount point cannot be one here; look at `mounts`")
    if ":u" in home or "%" in home:
        person.shut_out("the home has a placeholder")
    person.set_home(home)
    person.set_rules(rules or [("/**", frozenset())])
    if mounts:
        person.values["mounts"] = mounts
    _networks(person, _words(found.get("disallowed_ips")), _words(found.get("allowed_ips")))
    _limits(person, found)


def _allowed(person: Person, mount: ElementTree.Element) -> frozenset[Permission]:
    access, recursive = mount.get("access"), mount.get("recursive")
    if recursive not in ("1", "2") or access not in ("0", "1"):
        person.shut_out("rights of a mount point that have no word here; look at `rules`")
        return frozenset()
    if access == "0":
        return _READ
    return ALL if recursive == "2" else ALL - _STRUCTURE


def _hash(password: ElementTree.Element | None) -> str:
    """Return the hash in the spelling of passlib: FileZilla Server's own is PBKDF2 with SHA-256, in base64."""
    found = {} if password is None else {name_of(each): (each.text or "").strip() for each in password}
    salt, digest = _BASE64.fullmatch(found.get("salt", "")), _BASE64.fullmatch(found.get("hash", ""))
    rounds = numbers.number(found.get("iterations", ""))
    if salt is None or digest is None or not rounds:
        return "$other" if found else ""
    salt_text, digest_text = (each[1].replace("+", ".") for each in (salt, digest))
    return f"$pbkdf2-sha256${rounds}${salt_text}${digest_text}"


def _networks(person: Person, refused: list[str], excepted: list[str]) -> None:
    # Allowed addresses are exceptions of those that are not.
    if not refused:
        return
    wanted, strange = networks_of(excepted)
    denied, others = networks_of([each for each in refused if each != "*"])
    if _ALL_ADDRESSES & set(refused) and wanted and not strange:
        person.values["networks"] = wanted
    elif not excepted and denied and not others and "*" not in refused and len(denied) <= 100 and without(denied):
        person.values["networks"] = without(denied)
    else:
        person.shut_out("the networks of the user cannot be said: write networks")


def _limits(person: Person, found: dict[str, ElementTree.Element]) -> None:
    for name in _RESTRICTING:
        if name in found:
            person.shut_out("is in groups, which are not carried over")
    rates = found.get("rate_limits")
    if rates is not None and any(value not in ("unlimited", "") for value in rates.attrib.values()):
        person.remarks.append("left behind: rate_limits; write download_rate and upload_rate")
    count = numbers.count(_text(found.get("session_count_limit")))
    if count:
        person.values["sessions"] = count
    if _text(found.get("methods")) not in ("", "password"):
        person.shut_out("methods other than a password")


def _text(element: ElementTree.Element | None) -> str:
    return "" if element is None else (element.text or "").strip()


def _words(element: ElementTree.Element | None) -> list[str]:
    if element is None:
        return []
    return [word for word in re.split(r"[\s,]+", " ".join(element.itertext())) if word]
