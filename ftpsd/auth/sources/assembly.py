"""
The accounts of each host, put together as the configuration orders them.

A source is one for all hosts: its turns and breakers are, while users are remembered for each host. A reload makes all
of it anew, so nothing that was remembered outlives the configuration it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ftpsd.auth.accounts import Accounts, Chain, FileAccounts
from ftpsd.auth.hashing.new_hashes import Rehash
from ftpsd.auth.hashing.passwords import VerifiedCache
from ftpsd.auth.hashing.queue import LoginQueue
from ftpsd.auth.sources.remote import Memory, Questions, RemoteAccounts, Source
from ftpsd.config.model import Config
from ftpsd.config.sources.source_files import SourceFiles, section_of
from ftpsd.config.sources.source_sections import Remote
from ftpsd.config.users import Users
from ftpsd.workers import Workers


class Assembly:
    """
    The sources of *config*; *files* are those it names.

    *names* looks names up, *hashes* are the turns of password hashes, *verified* remembers passwords, and *rehash* is
    for the hashes of a users file.
    """

    def __init__(
        self,
        config: Config,
        files: SourceFiles,
        reactor: Any,
        names: Workers,
        hashes: LoginQueue,
        verified: VerifiedCache,
        rehash: Callable[[Path], Rehash] | None = None,
    ) -> None:
        self._config = config
        self._files = files
        self._reactor = reactor
        self._names = names
        self._hashes = hashes
        self._verified = verified
        self._rehash = rehash
        self._made: dict[str, Questions] = {}

    def accounts(self, order: Sequence[str], path: Path, users: Users, host: str = "") -> Accounts:
        """Return the accounts of *host*, which asks in this *order*; *users* is its users file, at *path*."""
        each = [self._one(name, path, users, host) for name in order]
        return each[0] if len(each) == 1 else Chain(*each)

    def questions(self, name: str) -> Questions:
        """Return the questions to the source *name*, which has a section."""
        if name not in self._made:
            section = self._section(name)
            source = self._source(name)
            # One full wait in the queue, and then the question itself to every server.
            servers = len(self._config.ldap.servers) if name == "ldap" and self._config.ldap is not None else 1
            patience = section.timeout * (2 * servers + 1)
            self._made[name] = Questions(source, self._reactor, section.at_once, patience)
        return self._made[name]

    def _one(self, name: str, path: Path, users: Users, host: str) -> Accounts:
        if name == "file":
            rehash = None if self._rehash is None else self._rehash(path)
            return FileAccounts(users.users, self._hashes, self._verified, rehash=rehash)
        section = self._section(name)
        memory = Memory(section.homes, section.defaults, section.cache)
        nobody = FileAccounts({}, self._hashes, self._verified)
        return RemoteAccounts(self.questions(name), memory, users.frame, nobody, self._verified, host)

    def _section(self, name: str) -> Remote:
        section = section_of(self._config, name)
        assert section is not None, f"the configuration was checked, and {name} has a section"
        return section

    def _source(self, name: str) -> Source:
        # Imported where they are wanted: their packages are extras.
        if name == "ldap" and self._config.ldap is not None:
            from ftpsd.auth.sources.ldap import LDAPSource

            return LDAPSource(self._config.ldap, self._files, self._reactor, self._names)
        if name == "http" and self._config.http is not None:
            from ftpsd.auth.sources.http import HTTPSource

            return HTTPSource(self._config.http, self._files, self._reactor, self._names)
        assert self._config.pam is not None
        from ftpsd.auth.sources.pam import PAMSource

        return PAMSource(self._config.pam, self._reactor)
