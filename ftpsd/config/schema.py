"""
The JSON Schema of ftpsd.yaml and users.yaml, for editors: made from the models, so that it cannot disagree with them.

One document serves both files. It accepts everything that the loader accepts; checks that it cannot express (ports that
clash, roles that do not exist) are left to `ftpsd check`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from ftpsd.config.model import EMPTY_MEANS_DEFAULT, Config
from ftpsd.config.parsing.key_texts import key_texts
from ftpsd.config.units import PortRange, show_duration
from ftpsd.config.users import MAX_NAME, UsersFile

_PATTERN_OF_NAMES: Final = r"^[^\u0000-\u001f\u007f-\u009f]+$"
# Keys that roles and groups give to users have their texts there.
_GIVERS: Final = ("roles.NAME.", "groups.NAME.")
_MODE: Final[JsonSchemaMode] = "validation"


class _Schema(GenerateJsonSchema):
    """A JSON Schema generator that writes defaults the way an operator does."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, BaseModel):
            return dft.model_dump(exclude_unset=True)
        if isinstance(dft, tuple):
            return [self.encode_default(item) for item in dft]
        if isinstance(dft, (PortRange, Path)):
            return str(dft)
        if isinstance(dft, float):
            return show_duration(dft)
        return super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """Return one JSON Schema (2020-12) that knows both files, each also as a definition of its own."""
    names, document = models_json_schema([(Config, _MODE), (UsersFile, _MODE)], schema_generator=_Schema)
    definitions: dict[str, Any] = document["$defs"]
    config, users = (names[model, _MODE]["$ref"].rpartition("/")[2] for model in (Config, UsersFile))
    _accept_empty(definitions[config], EMPTY_MEANS_DEFAULT)
    _accept_empty(definitions[users], tuple(UsersFile.model_fields))
    definitions[users]["properties"]["users"]["anyOf"][0]["propertyNames"] = {
        "minLength": 1,
        "maxLength": MAX_NAME,
        "pattern": _PATTERN_OF_NAMES,
    }
    _describe(definitions, definitions[config], "", set())
    _describe(definitions, definitions[users], "", set())
    is_users = {
        "anyOf": [
            {"required": ["roles"]},
            {"required": ["users"], "properties": {"users": {"type": ["object", "null"]}}},
        ]
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ftpsd.yaml and users.yaml",
        "type": ["object", "null"],
        "if": {"type": "object", **is_users},
        "then": {"$ref": f"#/$defs/{users}"},
        "else": {"anyOf": [{"$ref": f"#/$defs/{config}"}, {"type": "null"}]},
        "$defs": definitions,
    }


def _describe(definitions: dict[str, Any], node: Any, prefix: str, seen: set[tuple[int, str]]) -> None:
    """Give each property below *node* the text of its key, whose name begins with *prefix*."""
    if not isinstance(node, dict) or (id(node), prefix) in seen:
        return
    seen.add((id(node), prefix))
    if "$ref" in node:
        _describe(definitions, definitions[node["$ref"].rpartition("/")[2]], prefix, seen)
    for choice in (*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())):
        _describe(definitions, choice, prefix, seen)
    _describe(definitions, node.get("items"), f"{prefix.removesuffix('.')}[].", seen)
    if isinstance(named := node.get("additionalProperties"), dict):
        if (text := key_texts().get(f"{prefix}NAME")) is not None:
            named.setdefault("description", text.accepts)
        _describe(definitions, named, f"{prefix}NAME.", seen)
    for name, value in node.get("properties", {}).items():
        text = key_texts().get(f"{prefix}{name}")
        if text is None and prefix in _GIVERS:
            text = key_texts().get(f"users.NAME.{name}")
        if text is not None:
            value.setdefault("description", text.accepts)
        elif (section := _section(definitions, value)) is not None:
            value.setdefault("description", section)
        _describe(definitions, value, f"{prefix}{name}.", seen)


def _section(definitions: dict[str, Any], value: dict[str, Any]) -> str | None:
    """Return the first sentence about the section that *value* is; None for what is none."""
    places = (value, *value.get("anyOf", ()), value.get("items", {}))
    name = next((place["$ref"] for place in places if "$ref" in place), None)
    text = definitions[name.rpartition("/")[2]].get("description") if name is not None else None
    return None if text is None else str(text).partition("\n")[0]


def _accept_empty(schema: dict[str, Any], names: tuple[str, ...]) -> None:
    """Let the sections *names* be null: YAML reads null where all keys of a section are commented out."""
    for name in names:
        section = schema["properties"][name]
        default = {"default": section.pop("default")} if "default" in section else {}
        schema["properties"][name] = {"anyOf": [section, {"type": "null"}], **default}
