"""
SFTPGo: what a user gets from groups, as its documentation has it.

The primary group is merged first, then the secondary ones; those of plain membership say nothing. Paths and limits that
the user has stay the user's; filters add up. A group that is not in the dump shuts its users out, for it may restrict.
"""

from __future__ import annotations

from typing import Any, Final

from ftpsd.migrating.migration import Person

_PRIMARY, _SECONDARY, _MEMBERSHIP = 1, 2, 3
_OF_PRIMARY: Final = ("max_sessions", "quota_size", "quota_files", "upload_bandwidth", "download_bandwidth")
_DAY: Final = 86_400_000
"""Milliseconds."""

Part = dict[str, Any]


def merged(user: Part, groups: dict[str, Part], person: Person) -> Part:
    """Return *user* with what its *groups*, by name, say; *person* is shut out where that cannot be said here."""
    found: list[tuple[int, str, Part]] = []
    said = user.get("groups")
    for each in said if isinstance(said, list) else ():
        name, kind = (each.get("name"), each.get("type")) if isinstance(each, dict) else (None, None)
        if kind == _MEMBERSHIP:
            continue
        if not isinstance(name, str) or name not in groups or kind not in (_PRIMARY, _SECONDARY):
            person.shut_out("is in a group that is not in the dump, or in a way that is not known")
            continue
        found.append((kind, name, groups[name]))
    made = dict(user)
    of_secondary: dict[str, object] = {}
    for kind, _, group in sorted(found, key=lambda each: each[0]):
        settings = _part(group, "user_settings")
        if kind == _PRIMARY:
            _take_primary(made, settings, person)
        for path, words in _permissions(settings, made, kind).items():
            if kind == _SECONDARY and of_secondary.setdefault(path, words) != words:
                person.shut_out("two secondary groups say different things of one path")
            _part_of(made, "permissions").setdefault(path, words)
        _add_filters(made, settings)
        if group.get("virtual_folders"):
            made["virtual_folders"] = [*_listed(made, "virtual_folders"), *_listed(group, "virtual_folders")]
    return made


def _take_primary(made: Part, settings: Part, person: Person) -> None:
    home = settings.get("home_dir")
    if isinstance(home, str) and home:
        made["home_dir"] = home.replace("%username%", person.name)
    if "%" in str(made.get("home_dir", "")):
        person.shut_out("the home has a placeholder")
    if _part(settings, "filesystem").get("provider", 0) != 0:
        made["filesystem"] = settings["filesystem"]
    for key in _OF_PRIMARY:
        if not made.get(key):
            made[key] = settings.get(key)
    days, since = settings.get("expires_in"), made.get("created_at")
    if isinstance(days, int) and days > 0 and not made.get("expiration_date"):
        if isinstance(since, int) and since > 0:
            made["expiration_date"] = since + days * _DAY
        else:
            person.shut_out("expires by its group, at a time that is not in the dump")


def _permissions(settings: Part, made: Part, kind: int) -> Part:
    """Return what the *settings* of a group say of paths, those of the user spelt out; "/" is the primary group's."""
    name = str(made.get("username", ""))
    said = _part(settings, "permissions")
    return {
        str(path).replace("%username%", name): words
        for path, words in said.items()
        if kind == _PRIMARY or str(path) != "/"
    }


def _add_filters(made: Part, settings: Part) -> None:
    """Add up lists; of other filters the user's own, or else the group's."""
    filters = _part_of(made, "filters")
    for key, value in _part(settings, "filters").items():
        if isinstance(value, list):
            filters[key] = [*_listed(filters, key), *value]
        elif not filters.get(key):
            filters[key] = value


def _part_of(made: Part, name: str) -> Part:
    """Return a part of *made* that may be written to: a copy of the one that was read."""
    made[name] = dict(_part(made, name))
    part: Part = made[name]
    return part


def _part(part: Part, name: str) -> Part:
    value = part.get(name)
    return value if isinstance(value, dict) else {}


def _listed(part: Part, name: str) -> list[Any]:
    value = part.get(name)
    return value if isinstance(value, list) else []
