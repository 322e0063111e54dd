"""
<Limit> and <Directory> of ProFTPD as rules: for each permission the nearest limit of the command decides, then the
nearest of the group of commands, then the nearest of ALL, as ProFTPD has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from ftpsd.migrating.migration import Rules, is_pattern, networks_of
from ftpsd.migrating.servers.proftpd_blocks import Block, Directive
from ftpsd.values.permission import Permission

# Each permission with the commands that need it, and their group.
COMMANDS: Final = {
    Permission.LIST: (("LIST", "NLST", "MLSD", "MLST", "STAT"), "DIRS"),
    Permission.READ: (("RETR",), "READ"),
    Permission.UPLOAD: (("STOR", "STOU"), "WRITE"),
    Permission.OVERWRITE: (("STOR",), "WRITE"),
    Permission.APPEND: (("APPE",), "WRITE"),
    Permission.RENAME: (("RNFR", "RNTO"), "WRITE"),
    Permission.DELETE: (("DELE",), "WRITE"),
    Permission.MKDIR: (("MKD", "XMKD"), "WRITE"),
    Permission.RMDIR: (("RMD", "XRMD"), "WRITE"),
    Permission.SET_TIME: (("MFMT", "SITE_UTIME"), "WRITE"),
    Permission.CHMOD: (("SITE_CHMOD",), "WRITE"),
}
_KNOWN: Final = frozenset(word for commands, group in COMMANDS.values() for word in (*commands, group)) | {
    "ALL",
    "LOGIN",
}
_BY_ADDRESS: Final = frozenset({"allowclass", "denyclass"})
_BY_PERSON: Final = {"allowuser": True, "denyuser": False, "allowgroup": True, "denygroup": False}


@dataclass(frozen=True, slots=True)
class Someone:
    """A user, as limits ask."""

    name: str
    groups: frozenset[str]
    home: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A directory with limits: the parts of its path below a home, and whether the directory itself is left out."""

    parts: tuple[str, ...]
    block: Block
    is_below_only: bool


def limits(block: Block) -> list[Block]:
    """Return the limits of a block."""
    return [each for each in block.blocks if each.name == "limit"]


def unknown_words(block: Block) -> list[tuple[str, str]]:
    """Return place and word of each command in a limit that no permission is about."""
    found = [each for inner in (block, *block.blocks) for each in limits(inner)]
    return [(each.place, word) for each in found for word in each.words if word.upper() not in _KNOWN]


def rules(top: Block, someone: Someone) -> tuple[Rules, list[str]]:
    """Return the rules of *someone*, and the places of directories that no rule can name."""
    places, unsaid = _places(top, someone)
    result: Rules = []
    for node in sorted({place.parts for place in places if place.parts}, key=lambda parts: (-len(parts), parts)):
        own = [place for place in places if place.parts == node]
        if all(place.is_below_only for place in own):
            above = [place for place in places if place.parts != node]
            result.append(("/" + "/".join(node), _allowed(_chain(above, node, top), someone)))
        result.append(("/" + "/".join([*node, "**"]), _allowed(_chain(places, node, top), someone)))
    result.append(("/**", _allowed(_chain(places, (), top), someone)))
    return result, unsaid


def _places(top: Block, someone: Someone) -> tuple[list[Place], list[str]]:
    found, unsaid = [], []
    for block in top.blocks:
        if block.name != "directory":
            continue
        said = " ".join(block.words)
        path = said.removeprefix("~").strip("/") if said.startswith("~/") or said == "~" else said.strip("/")
        parts = tuple(part for part in path.split("/") if part)
        is_below_only = bool(parts) and parts[-1] == "*"
        parts = parts[:-1] if is_below_only else parts
        if said.startswith("~"):
            inner = parts
        else:
            shared = min(len(parts), len(someone.home))
            if not all(fnmatchcase(someone.home[at], parts[at]) for at in range(shared)):
                continue
            inner = parts[shared:]
        is_other = said.startswith("~") and said != "~" and not said.startswith("~/")
        if is_other or re.search(r"[\[\]{}]|\*\*", said) or not is_pattern("/" + "/".join([*inner, "**"])):
            unsaid.append(block.place)
        else:
            found.append(Place(inner, block, is_below_only))
    return found, unsaid


def _chain(places: list[Place], node: tuple[str, ...], top: Block) -> list[Block]:
    """Return the blocks that count at *node*, the nearest first."""
    over = [
        place
        for place in places
        if len(place.parts) <= len(node) and all(fnmatchcase(node[at], part) for at, part in enumerate(place.parts))
    ]
    over.sort(key=lambda place: -len(place.parts))
    return [*(place.block for place in over), top]


def _allowed(chain: list[Block], someone: Someone) -> frozenset[Permission]:
    allowed = set()
    for permission, (commands, group) in COMMANDS.items():
        if all(_may(chain, command, group, someone) for command in commands):
            allowed.add(permission)
    if not is_on(_nearest(chain, "allowoverwrite"), otherwise=False):
        allowed.discard(Permission.OVERWRITE)
    if not is_on(_nearest(chain, "allowstorerestart"), otherwise=False):
        allowed.discard(Permission.APPEND)
    return frozenset(allowed)


def _nearest(chain: list[Block], name: str) -> Directive | None:
    return next((found for block in chain if (found := block.last(name)) is not None), None)


def is_on(directive: Directive | None, *, otherwise: bool) -> bool:
    """Return whether a directive says on."""
    if directive is None or not directive.words:
        return otherwise
    return directive.words[0].lower() in ("on", "true", "yes", "1")


def _may(chain: list[Block], command: str, group: str, someone: Someone) -> bool:
    for word in (command, group, "ALL"):
        for block in chain:
            for limit in limits(block):
                if word in {each.upper() for each in limit.words}:
                    verdict = judged(limit, someone)
                    if verdict is not None:
                        return verdict
    return True


def judged(limit: Block, someone: Someone) -> bool | None:
    """Return what *limit* says of *someone* from anywhere; False where that depends on something else."""
    for each in limit.directives:
        if each.name in _BY_PERSON:
            verdict = _names(each, someone)
            if verdict is None:
                return False
            if verdict:
                return _BY_PERSON[each.name]
    names = {each.name for each in limit.directives}
    denies_all = "denyall" in names or _of_all(limit, "deny")
    allows_all = "allowall" in names or _of_all(limit, "allow")
    if denies_all and not allows_all:
        return False
    order = limit.last("order")
    is_deny_first = order is not None and "".join(order.words).replace(" ", "").lower() == "deny,allow"
    if names & _BY_ADDRESS or ("deny" in names and not denies_all) or (is_deny_first and not allows_all):
        return False
    return True if allows_all and not (denies_all and is_deny_first) else False if denies_all else None


def _of_all(limit: Block, name: str) -> bool:
    return any(each.name == name and "all" in {word.lower() for word in each.words} for each in limit.directives)


def _names(directive: Directive, someone: Someone) -> bool | None:
    """Return whether an expression of users or groups is true; None for one that we do not read."""
    said = list(directive.words)
    is_of_groups = directive.name.endswith("group")
    is_any = not is_of_groups
    if said and said[0].lower() in ("and", "or", "regex"):
        if said[0].lower() == "regex":
            return None
        is_any = said.pop(0).lower() == "or"
    return matches(said, someone, is_of_groups=is_of_groups, is_any=is_any)


def matches(said: list[str], someone: Someone, *, is_of_groups: bool, is_any: bool) -> bool:
    """Return whether *someone* is one of the names, or in one of the groups or all of them; `!` turns a name round."""
    mine = someone.groups if is_of_groups else {someone.name}
    verdicts = []
    for word in (part.strip() for each in said for part in each.split(",") if part.strip()):
        name = word.removeprefix("!")
        verdicts.append((name == "*" or name in mine) is not word.startswith("!"))
    return bool(verdicts) and (any(verdicts) if is_any else all(verdicts))


def login_networks(limit: Block) -> list[str] | None:
    """Return the networks that a LOGIN limit lets in where it lets in nobody else; None for another kind of limit."""
    said = [
        word for each in limit.directives if each.name == "allow" for text in each.words for word in text.split(",")
    ]
    wanted = [_spelt(word) for word in said if word and word.lower() != "from"]
    others = {each.name for each in limit.directives} - {"allow", "deny", "denyall", "order"}
    is_closed = limit.last("denyall") is not None or _of_all(limit, "deny")
    order = limit.last("order")
    is_deny_first = order is not None and "".join(order.words).replace(" ", "").lower() == "deny,allow"
    found, strange = networks_of(wanted)
    return found if found and not strange and not others and is_closed and not is_deny_first else None


def _spelt(word: str) -> str:
    """Write a beginning of an address, such as 10.0.0., as the network that it is."""
    if not re.fullmatch(r"([0-9]{1,3}\.){1,3}", word):
        return word
    parts = word.rstrip(".").split(".")
    return ".".join([*parts, *["0"] * (4 - len(parts))]) + f"/{8 * len(parts)}"
