"""SFTPGo: the users of a dump (`/api/v2/dumpdata`), in JSON, which has no settings of the server."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ftpsd.migrating.migration import Migration, Person, Rules, is_pattern, networks_of, without
from ftpsd.migrating.old_machine import MigrationError, OldMachine
from ftpsd.migrating.servers.sftpgo_groups import merged
from ftpsd.values.permission import ALL, Permission

_PERMISSIONS: Final = {
    "*": ALL,
    "list": {Permission.LIST},
    "download": {Permission.READ},
    "upload": {Permission.UPLOAD},
    "overwrite": {Permission.OVERWRITE, Permission.APPEND},
    "delete": {Permission.DELETE, Permission.RMDIR},
    "delete_files": {Permission.DELETE},
    "delete_dirs": {Permission.RMDIR},
    "rename": {Permission.RENAME},
    "create_dirs": {Permission.MKDIR},
    "chmod": {Permission.CHMOD},
    "chtimes": {Permission.SET_TIME},
}
# SFTPGo's own spelling: the salt as it is, or in base64, the digest in base64.
_PBKDF2: Final = re.compile(
    r"\$pbkdf2-(b64salt-)?sha(256|512)\$([0-9]{1,9})\$([!-#%-~]{1,128})\$([A-Za-z0-9+/]+={0,2})"
)
_MOST_FILES: Final = 10**12
_MOST: Final = 10**13


def migrate(machine: OldMachine, path: Path) -> Migration:
    """Read the dump at *path*. Raises: MigrationError."""
    try:
        dump = json.loads(machine.text(path))
    except (ValueError, RecursionError):
        raise MigrationError(f"{path}: is no JSON.") from None
    users = dump.get("users") if isinstance(dump, dict) else None
    if not isinstance(users, list):
        raise MigrationError(f"{path}: is no dump of SFTPGo, which has a list of users.")
    made = Migration("SFTPGo")
    why = "is not in a dump: write listeners, certificate and passive ports as sftpgo.json has them"
    made.leave(path.name, "the configuration of the server", why)
    for name in ("folders", "admins", "api_keys", "shares", "event_rules", "event_actions", "ip_lists"):
        if dump.get(name):
            made.leave(path.name, name, "ARE NOT CARRIED OVER" if name == "ip_lists" else "have no place here")
    said = dump.get("groups")
    groups = {
        each["name"]: each
        for each in (said if isinstance(said, list) else ())
        if isinstance(each, dict) and isinstance(each.get("name"), str)
    }
    for at, user in enumerate(users):
        if not isinstance(user, dict) or not isinstance(user.get("username"), str):
            raise MigrationError(f"{path}: users[{at}] has no username.")
        person = made.person(user["username"], f"users[{at}]")
        if person is not None:
            _describe(person, merged(user, groups, person))
    return made


def _describe(person: Person, user: dict[str, Any]) -> None:
    password = user.get("password")
    person.set_hash(respelt(password) if isinstance(password, str) else "")
    home = user.get("home_dir")
    person.set_home(home if isinstance(home, str) else "")
    if _number(user, "status") != 1:
        person.shut_out("status is not 1")
    if _part(user, "filesystem").get("provider", 0) != 0:
        person.shut_out("the files are not on a disk of this machine")
    if user.get("virtual_folders"):
        person.remarks.append("left behind: virtual_folders; see mounts")
    _rules(person, user.get("permissions"))
    said = {"bytes": _number(user, "quota_size"), "files": min(_number(user, "quota_files"), _MOST_FILES)}
    if quota := {key: value for key, value in said.items() if value}:
        person.values["quota"] = quota
    sessions = _number(user, "max_sessions")
    if sessions:
        person.values["sessions"] = min(sessions, 1_000_000)
    for key in ("upload", "download"):
        if rate := _number(user, f"{key}_bandwidth"):
            person.values[f"{key}_rate"] = rate * 1024
    if moment := _number(user, "expiration_date"):
        try:
            person.values["expires"] = datetime.fromtimestamp(moment // 1000, UTC).isoformat()
        except (ValueError, OverflowError, OSError):
            person.shut_out("expires at no time that there is")
    _filters(person, _part(user, "filters"))


def _order(path: str) -> tuple[int, str]:
    """Put the deepest paths first: the first rule decides."""
    return -len([part for part in path.split("/") if part]), path


def _rules(person: Person, said: object) -> None:
    given = said if isinstance(said, dict) else {}
    rules: Rules = []
    for path in sorted(map(str, given), key=_order):
        words = given[path] if isinstance(given[path], list) else []
        allow = frozenset(each for word in words if isinstance(word, str) for each in _PERMISSIONS.get(word, ()))
        pattern = path.rstrip("/") + "/**"
        if is_pattern(pattern) and not any(letter in path for letter in "*?["):
            rules.append((pattern, allow))
        else:
            person.shut_out("a path of the permissions cannot be that of a rule")
    if "/" not in given:
        rules.append(("/**", frozenset()))
    person.set_rules(rules)


def _filters(person: Person, filters: dict[str, Any]) -> None:
    allowed, strange = networks_of(_words(filters, "allowed_ip"))
    refused, others = networks_of(_words(filters, "denied_ip"))
    if strange or others or len(refused) > 100 or (refused and allowed):
        person.shut_out("the networks of the user cannot be said: write networks")
    elif allowed or refused:
        person.values["networks"] = allowed or without(refused)
    if "FTP" in _words(filters, "denied_protocols"):
        person.shut_out("could not use FTP")
    if "password" in _words(filters, "denied_login_methods"):
        person.shut_out("could not log in with a password")
    for name in ("file_patterns", "access_time", "two_factor_protocols"):
        if filters.get(name):
            person.shut_out(f"{name} are not carried over")
    if _part(filters, "totp_config").get("enabled"):
        person.values["second_factor"] = "required"
        person.remarks.append("changed: the second factor has to be enrolled anew: ftpsd user otp NAME")
    for name in ("max_upload_file_size", "bandwidth_limits", "data_transfer_limits"):
        if filters.get(name):
            person.remarks.append(f"left behind: {name}")


def respelt(stored: str) -> str:
    """Return a hash of PBKDF2 in the spelling of passlib, and any other as it is."""
    found = _PBKDF2.fullmatch(stored)
    if found is None:
        return stored
    salt = found[4] if found[1] else base64.b64encode(found[4].encode()).decode()
    salt, digest = (text.rstrip("=").replace("+", ".") for text in (salt, found[5]))
    return f"$pbkdf2-sha{found[2]}${int(found[3])}${salt}${digest}"


def _number(part: dict[str, Any], name: str) -> int:
    value = part.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return 0
    return min(value, _MOST)


def _part(part: dict[str, Any], name: str) -> dict[str, Any]:
    value = part.get(name)
    return value if isinstance(value, dict) else {}


def _words(part: dict[str, Any], name: str) -> list[str]:
    value = part.get(name)
    return [str(each) for each in value] if isinstance(value, list) else []
