"""Permissions: the words of the users file."""

from __future__ import annotations

from ftpsd.values.permission import ALL, Permission


def test_the_words_are_those_of_the_users_file() -> None:
    """Operators write these words; a changed one breaks their files."""
    words = "list read upload overwrite append rename delete mkdir rmdir set-time chmod"
    assert [str(permission) for permission in Permission] == words.split()


def test_all_holds_every_permission() -> None:
    """ALL leaves none out."""
    assert frozenset(Permission) == ALL
