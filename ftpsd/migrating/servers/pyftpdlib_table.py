"""pyftpdlib: the user table of its authorizers, as a dict written in Python and read as a literal: nothing is run."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, Final

from ftpsd.migrating.migration import Migration, Person, Rules, is_pattern
from ftpsd.migrating.old_machine import MigrationError, OldMachine
from ftpsd.values.permission import Permission

# Bytes: the tree of a literal takes a hundred times its text.
_MOST: Final = 1024 * 1024
_LETTERS: Final = {
    "e": frozenset[Permission](),
    "l": {Permission.LIST},
    "r": {Permission.READ},
    "a": {Permission.APPEND},
    "d": {Permission.DELETE, Permission.RMDIR},
    "f": {Permission.RENAME},
    "m": {Permission.MKDIR},
    "w": {Permission.UPLOAD, Permission.OVERWRITE},
    "M": {Permission.CHMOD},
    "T": {Permission.SET_TIME},
}


def migrate(machine: OldMachine, path: Path) -> Migration:
    """Read the dict at *path*, which may have a name and `=` in front. Raises: MigrationError."""
    text = machine.text(path)
    if len(text) > _MOST:
        raise MigrationError(f"{path}: has more than 1 MiB.")
    try:
        table = ast.literal_eval(re.sub(r"\A\s*[A-Za-z_.]{1,80}\s*=\s*", "", text).strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        table = None
    if not isinstance(table, dict) or not all(isinstance(each, dict) for each in table.values()):
        raise MigrationError(f"{path}: is no dict of users such as {{'alice': {{'home': ..., 'perm': ...}}}}.")
    made = Migration("pyftpdlib")
    why = "is in a program: write listeners, certificate and passive ports as that has them"
    made.leave(path.name, "the configuration of the server", why)
    for name, user in table.items():
        if name == "anonymous":
            made.leave(path.name, "anonymous", "ftpsd HAS NO ANONYMOUS LOGINS: make a user for them")
        elif (person := made.person(str(name), path.name)) is not None:
            _describe(person, user)
    return made


def _describe(person: Person, user: dict[Any, Any]) -> None:
    password, home = user.get("pwd"), user.get("home")
    is_hash = isinstance(password, str) and password.startswith("$")
    if is_hash:
        person.set_hash(str(password))
    else:
        person.shut_out("the password is in clear, or a hash of a program's own: ftpsd user password NAME")
    person.set_home(home if isinstance(home, str) else "")
    base, rules = str(person.values["home"]).rstrip("/"), Rules()
    others = user.get("operms")
    for path, said in sorted(others.items(), key=lambda item: -len(str(item[0]))) if isinstance(others, dict) else ():
        letters, is_below = (said[0], said[1]) if isinstance(said, (list, tuple)) and len(said) == 2 else ("", True)
        inner = str(path).rstrip("/").removeprefix(base)
        pattern = f"{inner}/**"
        is_inside = str(path).startswith(base + "/") and not re.search(r"[*?]", inner)
        if not is_inside or not is_pattern(pattern) or not is_below:
            person.shut_out("permissions of a directory cannot be a rule; look at operms")
        else:
            rules.append((pattern, _allowed(letters)))
    rules.append(("/**", _allowed(user.get("perm"))))
    person.set_rules(rules)


def _allowed(letters: object) -> frozenset[Permission]:
    words = letters if isinstance(letters, str) else ""
    return frozenset(each for letter in words for each in _LETTERS.get(letter, ()))
