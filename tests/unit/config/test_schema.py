"""The JSON Schema: it accepts what the loader accepts and refuses what a schema can refuse."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from ftpsd.config.parsing.document import parse
from ftpsd.config.schema import json_schema
from tests.tools import ROOT
from tests.unit.config.samples import config, users

SCHEMA = json_schema()
KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def is_kind(value: object, kind: str) -> bool:
    return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Validate *value*, with the keywords of JSON Schema that ours uses."""
    if "$ref" in schema and not accepts(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], value):
        return False
    if "if" in schema and not accepts(schema["then" if accepts(schema["if"], value) else "else"], value):
        return False
    kinds = schema.get("type", list(KINDS))
    if not any(is_kind(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if "anyOf" in schema and not any(accepts(choice, value) for choice in schema["anyOf"]):
        return False
    if ("const" in schema and value != schema["const"]) or ("enum" in schema and value not in schema["enum"]):
        return False
    if isinstance(value, dict):
        return accepts_object(schema, value)
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(accepts(schema.get("items", {}), item) for item in value)
    if isinstance(value, str):
        is_short = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9)
        return is_short and re.search(schema.get("pattern", ""), value) is not None
    if is_kind(value, "number"):
        is_more = value > schema.get("exclusiveMinimum", float("-inf"))
        return bool(is_more and schema.get("minimum", float("-inf")) <= value <= schema.get("maximum", float("inf")))
    return True


def accepts_object(schema: dict[str, Any], value: dict[str, Any]) -> bool:
    known: dict[str, Any] = schema.get("properties", {})
    more = schema.get("additionalProperties", True)
    for key, item in value.items():
        inner = known.get(key, more)
        if inner is False or (inner is not True and not accepts(inner, item)):
            return False
        if not accepts(schema.get("propertyNames", {}), key):
            return False
    return all(key in value for key in schema.get("required", []))


@pytest.mark.parametrize("name", ["ftpsd.yaml", "users.yaml"])
def test_the_files_we_ship_are_accepted(name: str) -> None:
    """The commented files are good by the schema, too."""
    assert accepts(SCHEMA, parse((ROOT / "etc" / name).read_text(), name).root.value)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "limits: {idle_timeout: 10m, login_timeout: 30, stall_timeout: 1.5h, download_rate: 10MiB/s, upload_rate: 500}",
        "limits:\npassive:\ntls:\n",
        "metrics: null",
        "passive: {ports: 4000, public_address: ftp.example.com}",
        "passive: {public_address_for: [{networks: ['2001:db8::/32', 10.0.0.0/255.0.0.0], address: 192.0.2.1}]}",
        "listeners: [{mode: explicit, socket: ftpsd}]",
        "listeners: [{mode: explicit, port: 21, address: 'fe80::1%eth0'}]",
        "tls: {minimum_version: 1.3}",
        "uploads: {umask: '0027', keep_partial: 0}",
        "workers: {transfer: 8}",
        "symlinks: none",
    ],
)
def test_what_the_configuration_accepts(text: str) -> None:
    """The schema accepts what load_config accepts."""
    config(text)
    assert accepts(SCHEMA, parse(text, "f").root.value)


@pytest.mark.parametrize(
    "text",
    [
        "users:\n",
        "roles:\nusers: {}",
        "roles: {r: {rules: [{path: /, allow: all}]}}\nusers: {no: {home: /h, role: r}}",
        "users: {a: {home: h, expires: 2030-01-01, download_rate: unlimited, password: $6$a$b, networks: [10.0.0.1]}}",
        "users: {a: {home: h, expires: '2030-01-01 10:00+0100', rules: [{path: /a, allow: [all, set-time]}]}}",
        "users: {a: {home: h, mounts: [{path: /m, directory: d}, {path: /n, directory: /d, rules: []}], quota: null}}",
        "roles: {r: {rules: []}, s: {like: r, networks: [10.0.0.0/8]}}\ngroups: {g: {home: '/h/{user}', role: s}}\n"
        "users: {a: {group: g}, b: {role: s, home: h, hours: {days: [mon-fri, sun], from: '06:00', zone: UTC}}}",
        "users: {a: {home: h, hours: [{to: '24:00'}, {from: 6:00, to: 5:59}]}, b: {home: h, hours: []}}",
        "users: {a: {home: h, quota: {bytes: 1.5GiB, files: 5}}, b: {home: h, quota: {bytes: 1000, files: null}}}",
    ],
)
def test_what_the_users_file_accepts(text: str) -> None:
    """The schema accepts what load_users accepts."""
    users(text)
    assert accepts(SCHEMA, parse(text, "f").root.value)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"x": 1},
        {"limits": {"idle": 1}},
        {"limits": {"idle_timeout": 0}},
        {"limits": {"idle_timeout": "10"}},
        {"uploads": {"umask": 77}},
        {"uploads": {"durable": "no"}},
        {"listeners": []},
        {"listeners": [{"port": 21}]},
        {"passive": {"ports": "a-b"}},
        {"users": {"a": {}}},
        {"users": {"": {"home": "/h"}}},
        {"users": {"a": {"home": "/h", "password": "secret"}}},
        {"users": {"a": {"home": "/h", "rules": [{"path": "/", "allow": ["raed"]}]}}},
        {"users": {"a": {"home": "/h", "mounts": [{"path": "/", "directory": "/d"}]}}},
        {"users": {"a": {"home": "/h", "quota": {"bytes": 0}}}},
        {"users": {"a": {"home": "/h", "hours": {"from": "6"}}}},
        {"users": {"a": {"home": "/h", "hours": {"days": ["monday"]}}}},
        {"users": {"a": {"home": "/h", "hours": [{"form": "06:00"}]}}},
        {"groups": {"g": {"group": "h"}}, "users": {}},
        {"users": {"a": {"home": "/h", "quota": {"files": "10"}}}},
        {"symlinks": "outside"},
    ],
)
def test_what_the_schema_refuses(value: object) -> None:
    """An editor marks the mistakes a schema can see."""
    assert not accepts(SCHEMA, value)


def test_the_schema_is_json() -> None:
    """Every default in it can be written as JSON, in the operator's units."""
    limits = json.loads(json.dumps(SCHEMA))["$defs"]["Limits"]["properties"]
    assert (limits["idle_timeout"]["default"], limits["upload_rate"]["default"]) == ("10m", "unlimited")


def defaults(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: field["default"] for name, field in schema["properties"].items() if "default" in field}


@pytest.mark.parametrize(
    "name", ["Limits", "Uploads", "Passive", "Active", "TLS", "Audit", "Log", "Metrics", "Workers"]
)
def test_defaults_of_the_schema_are_those_of_the_model(name: str) -> None:
    """Writing out the defaults of a section changes nothing."""
    text = yaml.safe_dump({name.lower(): defaults(SCHEMA["$defs"][name])})
    assert config(text) == config("")
