"""The two files as text: settings in the order of docs/configuration.md, each note as a comment where it belongs."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from ftpsd.config.model import Config
from ftpsd.migrating.migration import Fate, Migration, Note, Person

_WIDTH: Final = 116
# Text that YAML reads as the same text without quotes: a letter or slash first, and no word that means something else.
_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9/._*-]*|[0-9]{1,9}s|[0-9]{1,5}-[0-9]{1,5}")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_SEPARATORS: Final = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")


def server_page(migration: Migration) -> str:
    """Return ftpsd.yaml."""
    lines = [
        f"# Made from the configuration of {migration.program} by `ftpsd migrate`.",
        "# Every key that is not here has its default; see docs/configuration.md.",
    ]
    sections: dict[str, dict[str, Any]] = {}
    for key, value in migration.settings.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    told = [note for note in migration.notes if note.fate is not Fate.CARRIED]
    placed = {note for note in told if note.key.partition(".")[0] in Config.model_fields}
    general = [note for note in told if note not in placed]
    if general:
        lines += ["#", f"# What {migration.program} has and ftpsd has not, or does otherwise:"]
        lines += [line for note in general for line in comment(str(note), "#   ")]
    for section in Config.model_fields:
        notes = [note for note in told if note in placed and note.key.partition(".")[0] == section]
        if section in sections or notes:
            lines += ["", *_section(section, sections.get(section, {}), notes)]
    return "\n".join(lines) + "\n"


def users_page(migration: Migration) -> str:
    """Return users.yaml."""
    lines = [f"# Made from the users of {migration.program} by `ftpsd migrate`.", ""]
    if not migration.people:
        return "\n".join([*lines, "users: {}", ""])
    lines.append("users:")
    for person in migration.people.values():
        lines += _person(person)
    return "\n".join(lines) + "\n"


def _section(section: str, values: dict[str, Any], notes: list[Note]) -> list[str]:
    lines = [line for note in notes for line in comment(str(note), "# ")]
    if "" in values and isinstance(values[""], list):
        return [*lines, f"{section}:", *(f"  - {flow(each)}" for each in values[""])]
    if "" in values:
        return [*lines, f"{section}: {flow(values[''])}"]
    if values:
        lines.append(f"{section}:")
    return lines + [f"  {name}: {flow(value)}" for name, value in values.items()]


def _person(person: Person) -> list[str]:
    lines = [line for remark in person.remarks for line in comment(remark, "  # ")]
    lines.append(f"  {flow(person.name)}:")
    for key, value in person.values.items():
        if key == "rules" and value:
            lines += ["    rules:", *(f"      - {flow(rule)}" for rule in value)]
        else:
            lines.append(f"    {key}: {flow(value)}")
    return lines


def comment(text: str, margin: str) -> list[str]:
    """Return *text* as lines of a comment behind *margin*; nothing in it can end the comment."""
    lines, line = [], ""
    for word in "".join(each if each.isprintable() else "?" for each in text).split(" "):
        if line and len(margin) + len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = " "
        line += (" " if line else "") + word
    return [f"{margin}{each}".rstrip() for each in [*lines, line]]


def flow(value: Any) -> str:
    """Return *value* as YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {flow(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        return _text(value)
    return json.dumps(value)


def _text(value: str) -> str:
    # The list of permissions and paths reads better without quotes; `**` inside a word is no alias.
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return _SEPARATORS.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
