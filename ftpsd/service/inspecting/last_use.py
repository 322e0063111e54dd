"""
The last use of rights, read from the audit log and its rotated files.

The log is read line by line, so its size bounds the time and not the memory; what is kept is one moment for each right
of each user who is known. Lines that are none of ours, or too long to be, are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any, Final

from ftpsd.audit.evidence.log_segments import files_of, whole_lines
from ftpsd.auth.review import Review
from ftpsd.values.path import PathError, VirtualPath

_USES: Final = frozenset(
    {
        "file-sent",
        "file-stored",
        "file-deleted",
        "file-renamed",
        "file-copied",
        "files-combined",
        "file-changed",
        "directory-listed",
        "directory-made",
        "directory-removed",
        "link-made",
    }
)
# Most lines are of commands, which the events of files repeat.
_PASSED_OVER: Final = (b'"event":"command"', b'"event":"session-', b'"event":"tls-')

Account = tuple[str, str]
"""A host, "" for the default one, and a user of it."""


class LastUse:
    """
    The last use of each right, by its number, and the last login of each account; moments as the log writes them.

    *review* returns the rights of an account, None for one that is not known. Of those *from_sources* the rights are
    not known either, but whether they come: all that they use is the use of right 0.
    """

    def __init__(
        self, review: Callable[[Account], Review | None], from_sources: Container[Account] = frozenset()
    ) -> None:
        self._review = review
        self._from_sources = from_sources
        self._of: dict[Account, Review | None] = {}
        self.logins: dict[Account, str] = {}
        self.uses: dict[tuple[Account, int], str] = {}
        self.lines = 0

    def read(self, log: Path) -> list[Path]:
        """
        Read *log*, and the files that it was rotated into; return all of them.

        Raises: OSError.
        """
        files = files_of(log)
        for file in files:
            for line in whole_lines(file):
                self.lines += 1
                if not any(word in line[:100] for word in _PASSED_OVER):
                    self._take(line)
        return files

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(event, dict):
            return
        time, user, host = event.get("time"), event.get("user"), event.get("host", "")
        if not (isinstance(time, str) and isinstance(user, str) and isinstance(host, str)):
            return
        account = (host, user)
        if account not in self._of:
            review = self._review(account)
            if review is None and account not in self._from_sources:
                # Users who are gone could be any number.
                return
            self._of[account] = review
        if event.get("event") == "logged-in":
            self.logins[account] = max(time, self.logins.get(account, ""))
        elif event.get("event") in _USES and event.get("result") != "refused":
            self._used(account, event, time)

    def _used(self, account: Account, event: dict[str, Any], time: str) -> None:
        review = self._of[account]
        if review is None:
            self.uses[account, 0] = max(time, self.uses.get((account, 0), ""))
            return
        for key in ("path", "old", "new"):
            if not isinstance(event.get(key), str):
                continue
            try:
                path = VirtualPath.parse(event[key])
            except PathError:
                continue
            use = (account, review.decides(path))
            self.uses[use] = max(time, self.uses.get(use, ""))
