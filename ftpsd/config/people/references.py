"""
The references of a users file's entries to each other: complaints that no single value shows.

They are found in the plain values, before anything is checked, so that all complaints about a file come together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ftpsd.config.parsing.complaints import nearest
from ftpsd.config.parsing.document import ConfigError, Document, Key, shown_name
from ftpsd.config.people.layers import MAX_LIKE, PLACEHOLDER, as_written, chain, fault_in_name, layers, nearest_with
from ftpsd.config.people.preflight_accounts import about_preflights
from ftpsd.config.people.user_entries import OF_SOURCE, check_name
from ftpsd.config.units import describe

Entries = Mapping[str, Any]

_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}")


def cross_complaints(document: Document, data: Any) -> Iterator[ConfigError]:
    """Look at the plain values *data* of *document*."""
    if not isinstance(data, dict):
        return
    roles, groups, users = (_section(data, name) for name in ("roles", "groups", "users"))
    for name, role in roles.items():
        yield from _about_role_entry(document, name, role, roles)
    for name, group in groups.items():
        yield from _about_role(document, ("groups", name), group, roles, "a group")
        yield from _about_given(document, ("groups", name), group, roles)
    for name, user in users.items():
        try:
            check_name(name)
        except ValueError as error:
            yield document.error(("users", name), str(error), at_key=True)
        if isinstance(user, dict):
            if user.get("source") is not None:
                yield from _about_source(document, name, user)
                continue
            yield from _about_role(document, ("users", name), user, roles, "a user")
            yield from _about_name(document, ("users", name), user, "group", groups)
            yield from _about_mounts(document, ("users", name, "mounts"), user.get("mounts"), roles)
            yield from _about_home(document, name, user, groups, roles)
    yield from about_preflights(document, users, groups, roles)


def _section(data: Entries, name: str) -> Entries:
    section = data.get(name)
    return section if isinstance(section, dict) else {}


def _about_role_entry(document: Document, name: str, role: Any, roles: Entries) -> Iterator[ConfigError]:
    if not isinstance(role, dict):
        return
    key = ("roles", name)
    yield from _about_name(document, key, role, "like", roles)
    yield from _about_given(document, key, role, roles)
    if role.get("rules") is None and role.get("like") is None:
        said = f"missing; add rules: to roles.{shown_name(name)}, or like: with the name of a role that has some"
        yield document.error((*key, "rules"), said)
    circle = _circle(roles, name)
    # Once for each circle: at the member that the file names first.
    if circle and circle[0] == min(circle, key=list(roles).index):
        lines = " and ".join(f"{shown_name(each)} (line {_line(document, each)})" for each in circle)
        said = "like itself" if len(circle) == 1 else f"in a circle: {lines} are each like the next"
        yield document.error((*key, "like"), f"{said}; remove like: from one of them")
    elif not circle and len(chain(roles, name, as_written)) > MAX_LIKE:
        said = f"more than {MAX_LIKE} roles are like each other in a row here; put their rules together"
        yield document.error((*key, "like"), said)


def _circle(roles: Entries, name: str) -> list[str]:
    """Return the roles from *name* on that lead back to it, none where they do not."""
    found: list[str] = []
    at: object = name
    while isinstance(at, str) and at in roles and at not in found:
        found.append(at)
        at = as_written(roles[at], "like")
    return found if at == name else []


def _line(document: Document, role: str) -> int:
    return document.error(("roles", role, "like"), "").line


def _about_given(document: Document, key: Key, entry: Any, roles: Entries) -> Iterator[ConfigError]:
    """Look at the mounts and templates of the group or role at *key*."""
    if not isinstance(entry, dict):
        return
    mounts = entry.get("mounts")
    yield from _about_mounts(document, (*key, "mounts"), mounts, roles)
    places: list[tuple[Key, Any]] = [((*key, "home"), entry.get("home"))]
    for number, mount in enumerate(mounts if isinstance(mounts, list) else ()):
        places.append(((*key, "mounts", number, "directory"), as_written(mount, "directory")))
    for place, path in places:
        others = set(_PLACEHOLDER.findall(path)) - {PLACEHOLDER} if isinstance(path, str) else set()
        if others:
            said = f"{describe(min(others))} stands for nothing; {PLACEHOLDER} stands for the name of the user"
            yield document.error(place, said)


def _about_source(document: Document, name: str, user: Entries) -> Iterator[ConfigError]:
    """Look whether the file says of a user from a source what the source says."""
    for key in OF_SOURCE:
        if user.get(key) is not None:
            said = f"the source says that of each user; remove {key}: or source: from users.{shown_name(name)}"
            yield document.error(("users", name, key), said)


def _about_home(document: Document, name: str, user: Entries, groups: Entries, roles: Entries) -> Iterator[ConfigError]:
    """Look whether the user has a home, and whether templates lead where they are meant to lead."""
    found = layers(name, user, groups, roles, as_written)
    key: Key = ("users", name)
    home, mounts = nearest_with(found, "home", as_written), nearest_with(found, "mounts", as_written)
    if home is None and "home" not in user:
        where = f"users.{shown_name(name)}"
        yield document.error((*key, "home"), f"missing; add home: to {where}")
    directories = [(home, as_written(home[1], "home"))] if home is not None else []
    if mounts is not None:
        said = as_written(mounts[1], "mounts")
        directories += [(mounts, as_written(each, "directory")) for each in (said if isinstance(said, list) else ())]
    fault = fault_in_name(name)
    for layer, path in directories:
        if fault is not None and layer[0][0] != "users" and isinstance(path, str) and PLACEHOLDER in path:
            place = document.error(layer[0], "").line
            said = (
                f"{describe(name)} {fault}, so it cannot stand for {PLACEHOLDER} in {describe(path)} (line {place}); "
                "rename the user, or write the directory out here"
            )
            yield document.error(key, said, at_key=True)
            return


def _about_role(document: Document, key: Key, holder: Any, roles: Entries, what: str) -> Iterator[ConfigError]:
    """Look at the role that the user, group or mount *holder* at *key* names."""
    if not isinstance(holder, dict) or not isinstance(holder.get("role"), str):
        return
    yield from _about_name(document, key, holder, "role", roles)
    if holder.get("rules") is not None:
        yield document.error((*key, "rules"), f"{what} has a role or rules, not both; remove one")


def _about_name(document: Document, key: Key, holder: Entries, word: str, known: Entries) -> Iterator[ConfigError]:
    """Look whether the entry that *holder* names by the key *word* is there."""
    name = holder.get(word)
    if isinstance(name, str) and name not in known:
        kind = "group" if word == "group" else "role"
        guess = nearest(name, list(known))
        hint = f"did you mean {guess}?" if guess else f"the {kind}s are {', '.join(map(shown_name, known)) or 'none'}"
        yield document.error((*key, word), f"there is no {kind} {describe(name)}; {hint}")


def _about_mounts(document: Document, key: Key, mounts: Any, roles: Entries) -> Iterator[ConfigError]:
    seen: set[str] = set()
    for number, mount in enumerate(mounts if isinstance(mounts, list) else ()):
        if not isinstance(mount, dict):
            continue
        yield from _about_role(document, (*key, number), mount, roles, "a mount")
        path = mount.get("path")
        if isinstance(path, str):
            if path.removesuffix("/") in seen:
                yield document.error((*key, number, "path"), f"{describe(path)} is mounted twice; remove one")
            seen.add(path.removesuffix("/"))
