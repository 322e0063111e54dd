"""
Which uploads are encrypted or decrypted, with which keys, and the names that they are published under.

The name rule: an encrypted file gets the suffix behind its name (report.csv is published as report.csv.pgp), a
decrypted one loses it. Patterns are those of permission rules, and are about the name that the client sends; the first
that matches decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftpsd.storage.base import Kind, StorageError
from ftpsd.storage.rules import Rules
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.rule import Rule

SUFFIX = ".pgp"
# Put behind the name of a message by partners' programs.
SUFFIXES = (SUFFIX, ".gpg", ".asc")
# Bytes that a message may open to whatever its size is: a small text compresses well.
FREE_EXPANSION = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Treatment:
    """The treatment of an upload between the client and the disk; keys are fingerprints or key ids in capitals."""

    paths: tuple[str, ...]
    users: tuple[str, ...] = ()  # none: all of them
    encrypt_to: tuple[str, ...] = ()
    sign_with: str | None = None
    armor: bool = False
    decrypts: bool = False
    verify_from: tuple[str, ...] = ()
    max_expansion: int = 100  # times the bytes that came
    patience: float = 30.0  # seconds in which gpg has to move something

    @property
    def needs_agent(self) -> bool:
        """Whether secret keys are used."""
        return self.decrypts or self.sign_with is not None

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of gpg that do it."""
        if self.decrypts:
            return ("--decrypt",)
        recipients = [f"--recipient=0x{key}" for key in self.encrypt_to]
        signing = [] if self.sign_with is None else [f"--local-user=0x{self.sign_with}", "--sign"]
        armor = ["--armor"] if self.armor else []
        return (*recipients, *signing, *armor, "--encrypt")

    def published(self, name: str) -> str:
        """Return the name under which an upload called *name* is published. Raises: BAD_NAME."""
        if not self.decrypts:
            return name + SUFFIX
        for suffix in SUFFIXES:
            if name.lower().endswith(suffix) and len(name) > len(suffix):
                return name[: -len(suffix)]
        raise StorageError(Kind.BAD_NAME, why=f"a message to be decrypted is called *{SUFFIX}, *.gpg or *.asc")

    def allows(self, received: int, written: int) -> bool:
        """Return whether *written* bytes may come out of a message of which *received* bytes have come in."""
        return not self.decrypts or written <= self.max_expansion * received + FREE_EXPANSION


class Treatments:
    """The treatments of one user, from the root of the user's tree or from a directory in it."""

    def __init__(self, treatments: Sequence[Treatment], user: str) -> None:
        marked: dict[Rule, Treatment] = {}
        for each in treatments:
            if not each.users or user in each.users:
                for path in each.paths:
                    marked.setdefault(Rule(path, _MARK), each)
        self._marked = marked
        self._rules = Rules.of(tuple(marked))

    def below(self, point: VirtualPath) -> Treatments:
        """Return them as they look from the directory *point*."""
        new = Treatments((), "")
        new._marked, new._rules = self._marked, self._rules.at(point.parts)
        return new

    @property
    def are_none(self) -> bool:
        """Whether no name here is treated."""
        return not self._rules.allowed and not self._rules.may_allow_inside

    def of(self, path: VirtualPath) -> Treatment | None:
        """Return what is done with uploads to *path*, None for nothing."""
        rule = self._rules.at(path.parts).decided_by
        return None if rule is None else self._marked[rule]

    def touches(self, path: VirtualPath) -> bool:
        """Return whether uploads to *path*, or to names below it, are treated."""
        found = self._rules.at(path.parts)
        return bool(found.allowed) or found.may_allow_inside


# A rule for permissions has to allow something; here it only says that it matches.
_MARK = frozenset({Permission.UPLOAD})
