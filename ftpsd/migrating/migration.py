"""
The result of reading another server's configuration: settings and people of ftpsd, and a note for each line that is
not the same afterwards.

Where a restriction cannot be said here, what it restricts is closed and the note says so: nobody may gain by a move.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum, unique
from pathlib import PurePosixPath
from typing import Any, Final

from ftpsd.config.checks.hashes import fault_of, is_argon2, is_pbkdf2
from ftpsd.config.people.user_entries import check_name
from ftpsd.values.permission import ALL, Permission
from ftpsd.values.rule import fault_of as fault_of_pattern

# No hash of any kind: no password, and an account whose password is looked up elsewhere.
_NO_HASH: Final = ("", "x", "*", "!", "!!", "!*", "*LK*", "NP")
_CRYPT: Final = ("$2a$", "$2b$", "$2y$", "$5$", "$6$", "$y$")
MAX_PEOPLE: Final = 100_000

Rules = list[tuple[str, frozenset[Permission]]]


@unique
class Fate(StrEnum):
    """The fate of a setting."""

    CARRIED = "carried over"
    CHANGED = "changed"
    LEFT = "left behind"


@dataclass(frozen=True, slots=True)
class Note:
    """The fate of one *setting* of the other server, and in which section of ftpsd.yaml one would look for it."""

    fate: Fate
    place: str
    setting: str
    text: str = ""
    key: str = ""

    def __str__(self) -> str:
        text = f": {self.text}" if self.text else ""
        return f"{self.place}: {self.setting}: {self.fate.upper()}{text}"


@dataclass(slots=True)
class Person:
    """One user: the keys of the entry in users.yaml, and what to say above it."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def shut_out(self, why: str) -> None:
        """Let the person not log in, and say why."""
        self.values["enabled"] = False
        self.remarks.append(f"disabled: {why}")

    def set_hash(self, stored: str) -> None:
        """Take over the hash of the password where ftpsd can verify it."""
        why = fault_of_hash(stored)
        if why is None:
            self.values["password"] = stored
        else:
            self.shut_out(f"{why}; give a new one: ftpsd user password NAME, then ftpsd user enable NAME")

    def set_home(self, home: str) -> None:
        """Take *home* for the home where ftpsd can have it."""
        path = str(PurePosixPath(home)) if home.startswith("/") else ""
        if path.strip("/") == "" or "\n" in path or not path.isprintable():
            self.values["home"] = f"/srv/ftpsd/{self.name if self.name.isalnum() else 'unknown'}"
            self.shut_out(f"the home was {shown(home) or 'nothing'}, which ftpsd does not give to anybody: choose one")
        else:
            self.values["home"] = "/" + path.lstrip("/")

    def set_rules(self, rules: Rules) -> None:
        """Set the rules, the first of which decides; none are needed where everything is allowed."""
        if rules == [("/**", ALL)]:
            return
        self.values["rules"] = [{"path": path, "allow": permitted(allow)} for path, allow in rules]


class Migration:
    """The settings, people and notes that have been collected; *program* is the name of the other server."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.settings: dict[str, Any] = {}
        self.notes: list[Note] = []
        self.people: dict[str, Person] = {}

    def carry(self, place: str, setting: str, key: str = "", value: Any = None, but: str = "") -> None:
        """Set *key* (dotted) to *value*; *but* says what is not the same. Without a key, ftpsd does it by itself."""
        if key:
            self.settings[key] = value
        self.notes.append(Note(Fate.CHANGED if but else Fate.CARRIED, place, setting, but, key))

    def leave(self, place: str, setting: str, why: str, key: str = "") -> None:
        """Say why *setting* has nothing in its place."""
        self.notes.append(Note(Fate.LEFT, place, setting, why, key))

    def person(self, name: str, place: str) -> Person | None:
        """Return a new person, None where the name cannot be one or is there already, which is noted."""
        try:
            check_name(name)
        except ValueError as error:
            self.leave(place, "a user", f"{error}")
            return None
        if name in self.people:
            self.leave(place, f"user {shown(name)}", "is there already; the first one counts")
            return None
        if len(self.people) >= MAX_PEOPLE:
            self.leave(place, f"user {shown(name)}", f"there are more than {MAX_PEOPLE} users")
            return None
        self.people[name] = Person(name)
        return self.people[name]

    def count(self, fate: Fate) -> int:
        """Return how many settings had this *fate*."""
        return sum(1 for note in self.notes if note.fate is fate)


def fault_of_hash(stored: str) -> str | None:
    """Say why a hash of the other server cannot be verified here, without repeating it; None where it can."""
    if stored in _NO_HASH:
        return "there is no password hash"
    if stored.startswith("!"):
        return "the password was locked"
    if not (stored.isascii() and stored.isprintable()):
        return "the password hash holds letters that no hash has"
    if is_argon2(stored) or is_pbkdf2(stored) or stored.startswith(_CRYPT):
        return fault_of(stored)
    return "the password hash is of a kind that ftpsd does not accept (DES, MD5, SHA-1, scrypt and others)"


def shown(text: str) -> str:
    """Return *text* as one short line that can stand in a comment."""
    line = "".join(letter if letter.isprintable() else "?" for letter in text[:80])
    return line + "..." if len(text) > 80 else line


def permitted(allow: frozenset[Permission]) -> Any:
    """Return *allow* as a users file writes it."""
    return "all" if allow == ALL else [each.value for each in Permission if each in allow]


def is_pattern(path: str) -> bool:
    """Return whether a rule can have *path*."""
    return fault_of_pattern(path) is None


def networks_of(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the networks that *words* name, and the words that name none, such as host names."""
    found, others = [], []
    for word in words:
        try:
            found.append(str(ipaddress.ip_network(word, strict=False)))
        except ValueError:
            others.append(word)
    return found, others


def without(refused: list[str]) -> list[str]:
    """Return the networks of all addresses that are not in *refused*."""
    rest: list[Any] = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    for each in map(ipaddress.ip_network, refused):
        parts: list[Any] = []
        for one in rest:
            if one.version != each.version or not one.overlaps(each):
                parts.append(one)
            elif each.prefixlen > one.prefixlen:
                parts += one.address_exclude(each)
        rest = parts
    return [str(one) for one in sorted(rest, key=lambda one: (one.version, one))]
