"""The documentation and the files we ship, held against the models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ftpsd.config.accept.accept_rules import AcceptRule
from ftpsd.config.automation.event_sinks import Events, EventSink
from ftpsd.config.automation.expectation_sections import Expectation
from ftpsd.config.automation.partner_sections import Partner
from ftpsd.config.automation.workflow_rules import Mail, Workflow
from ftpsd.config.encrypting.encryption import Encryption, MasterKeySource
from ftpsd.config.evidence.evidence_sections import AuditChain, ShipTarget
from ftpsd.config.model import PGP, ClientCertificates, Config, FurtherPair, Retention, ServerName, VirtualHost
from ftpsd.config.parsing.document import Node, parse
from ftpsd.config.parsing.key_texts import key_texts
from ftpsd.config.people.user_entries import Given, GroupEntry, RoleEntry
from ftpsd.config.reading import load_config
from ftpsd.config.receipts.receipt_sections import ReceiptSigning
from ftpsd.config.schema import json_schema
from ftpsd.config.sources.source_sections import HTTP, LDAP, PAM
from ftpsd.config.users import UsersFile, load_users
from tests.key_texts import FILE, plain_texts, rows
from tests.tools import ROOT
from tests.unit.config.samples import config, users

# Sections that are not there unless they are written, and values of the keys that they need then.
SOURCES: dict[str, type[BaseModel]] = {
    "ldap": LDAP,
    "pam": PAM,
    "http": HTTP,
    "audit.chain": AuditChain,
    "encryption": Encryption,
    "events": Events,
    "mail": Mail,
}
REQUIRED = {
    "servers": "[ldaps://example.com]",
    "bind_dn": "cn=a",
    "bind_password_file": "/p",
    "search_base": "dc=a",
    "homes": "[/srv]",
    "home": '"/srv/{user}"',
    "url": "https://example.com",
    "private_key": "/k",
    "server": "mail.example.com",
    "sender": "ftpsd@example.com",
    "keys": "{main: [{file: /k}]}",
}
PAGE = (ROOT / "docs" / "configuration.md").read_text()
DOCUMENTED = rows()


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every key a file may hold, as the documentation writes it: lists as [], names as NAME."""
    for name, field in model.model_fields.items():
        if model in (RoleEntry, GroupEntry) and name in Given.model_fields:
            # These are the same fields as those of a user, and are documented there.
            continue
        inner = model_in(field.annotation)
        key = prefix + (field.alias or name)
        if inner is None:
            yield key, field
            continue
        container = container_of(field.annotation)
        if name == "on_failure":
            # Its steps are those of `steps`, and are documented there.
            yield key, field
            continue
        if container is dict and is_of_lists(field.annotation):
            yield f"{key}.NAME", field
            yield from keys_of(inner, f"{key}.NAME[].")
            continue
        if container is tuple and prefix:
            yield key, field
        yield from keys_of(inner, key + {tuple: "[].", dict: ".NAME.", None: "."}[container])


def is_of_lists(annotation: Any) -> bool:
    """Return whether the values of a mapping are lists."""
    inner = get_args(annotation)
    return bool(inner) and (
        (get_origin(annotation) is dict and container_of(inner[1]) is tuple) or any(map(is_of_lists, inner))
    )


def container_of(annotation: Any) -> Any:
    if get_origin(annotation) in (tuple, dict):
        return get_origin(annotation)
    return next(filter(None, map(container_of, get_args(annotation))), None)


def model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(model_in, get_args(annotation))), None)


KEYS = dict([*keys_of(Config), *keys_of(UsersFile)])


def test_every_key_is_documented_and_no_other() -> None:
    """The tables name exactly the keys that the models have."""
    assert sorted(DOCUMENTED) == sorted(KEYS)


def test_schema_and_manual_have_the_texts_of_the_page() -> None:
    """The package holds them as the page has them, and the schema each of them at its key."""
    assert FILE.read_text() == plain_texts(), "run: python -m tests.key_texts"
    schema = json_schema()
    roots = [schema["$defs"][model.__name__] for model in (Config, UsersFile)]
    bare = [
        key
        for key in key_texts()
        if not any("description" in found for root in roots for found in properties(schema, root, key.split(".")))
    ]
    assert bare == []
    assert schema["$defs"]["Audit"]["properties"]["events"]["description"] == key_texts()["audit.events"].accepts


def properties(schema: dict[str, Any], node: Any, parts: list[str]) -> Iterator[dict[str, Any]]:
    """Yield what a *schema* says below *node* about the key of these *parts*."""
    if not isinstance(node, dict):
        return
    if "$ref" in node:
        yield from properties(schema, schema["$defs"][node["$ref"].rpartition("/")[2]], parts)
    for choice in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from properties(schema, choice, parts)
    if not parts:
        yield node
        return
    name, *rest = parts
    plain = name.removesuffix("[]")
    found = node.get("additionalProperties") if plain == "NAME" else node.get("properties", {}).get(plain)
    if name.endswith("[]"):
        lists = list(properties(schema, found, []))
        for each in lists:
            yield from properties(schema, each.get("items"), rest)
    else:
        yield from properties(schema, found, rest)


def test_the_keys_that_roles_and_groups_give_are_documented() -> None:
    """The page names all of them, in the order of the model."""
    assert f"each of these keys of a user: {', '.join(f'`{key}`' for key in Given.model_fields)}." in PAGE


def test_required_keys_say_so() -> None:
    """A key is marked as required where the model has no default for it."""
    others = ("listeners[].port", "roles.NAME.rules", "users.NAME.home")
    assert [key for key in KEYS if key not in others and (DOCUMENTED[key][0] is None) != KEYS[key].is_required()] == []


# Keys that are there once, and have a default.
SINGLE = [key for key in KEYS if "[" not in key and "NAME" not in key and not KEYS[key].is_required()]


def test_a_documented_default_is_the_default() -> None:
    """Writing the default of the documentation into a file changes nothing."""
    assert len(SINGLE) > 100
    for key in SINGLE:
        *sections, name = key.split(".")
        text = f"{name}: {DOCUMENTED[key][0]}"
        rest = ""
        if (model := SOURCES.get(".".join(sections))) is not None:
            needed = [each for each, field in model.model_fields.items() if field.is_required()]
            rest = ", ".join(f"{each}: {REQUIRED[each]}" for each in needed)
            text = f"{rest}, {text}" if rest else text
        for section in reversed(sections):
            text = f"{section}: {{{text}}}"
            rest = f"{section}: {{{rest}}}" if rest or model is not None else ""
        assert config(text) == config(rest), key


# A second factor is whole, or not there; receipts are there or not.
ALONE = [key for key in KEYS if key.startswith("users.NAME.") and "[" not in key and ".second_factor." not in key]


def test_a_documented_default_of_a_user_is_the_default() -> None:
    """The same for a user."""
    for key in ALONE:
        default = DOCUMENTED[key][0]
        if default is not None:
            inner = key.removeprefix("users.NAME.").replace(".", ": {") + f": {default}" + "}" * (key.count(".") - 2)
            text = f"users: {{a: {{home: /h, {inner}}}}}"
            rest = "home: /h, receipts: {}" if ".receipts." in key else "home: /h"
            assert users(text) == users(f"users: {{a: {{{rest}}}}}"), key


def test_the_default_address_of_a_listener_is_the_default() -> None:
    """The same for a listener, where it matters to write it."""
    default = DOCUMENTED["listeners[].address"][0]
    text = "listeners: [{mode: explicit, port: 21%s}]"
    assert config(text % f", address: {default}") == config(text % "")


def written_keys(node: Node, prefix: str = "") -> Iterator[str]:
    if isinstance(node.items, dict):
        for name, inner in node.items.items():
            yield prefix + name
            yield from written_keys(inner, f"{prefix}{name}.")
    elif isinstance(node.items, list):
        for inner in node.items:
            yield from written_keys(inner, f"{prefix.removesuffix('.')}[].")


def shipped(name: str) -> Path:
    return ROOT / "etc" / name


def test_the_configuration_we_ship_has_every_key() -> None:
    """Every key is shown, but for those of an empty list and the alternative to a port."""
    written = set(written_keys(parse(shipped("ftpsd.yaml").read_text(), "f").root))
    shown_in_comments = {
        "listeners[].socket",
        "listeners[].proxy_protocol.trusted",
        "passive.proxy_protocol.trusted",
        *(f"tls.server_names[].{key}" for key in ServerName.model_fields),
        *(f"virtual_hosts[].{key}" for key in VirtualHost.model_fields if key != "client_certificates"),
        *(
            f"{place}.client_certificates.{key}"
            for place in ("listeners[]", "virtual_hosts[]")
            for key in ClientCertificates.model_fields
        ),
        *(
            f"{section}.also[].{key}"
            for section in ("tls", "tls.server_names[]", "virtual_hosts[]")
            for key in FurtherPair.model_fields
        ),
        *(f"{source}.{key}" for source, model in SOURCES.items() for key in model.model_fields if key != "keys"),
        *(f"encryption.keys.NAME[].{key}" for key in MasterKeySource.model_fields),
        "encryption.keys.NAME",
        *(f"pgp[].{key}" for key in PGP.model_fields),
        *(f"retention[].{key}" for key in Retention.model_fields),
        *(key for key, _ in keys_of(EventSink, "events.sinks[].")),
        *(key for key, _ in keys_of(Workflow, "workflows[].")),
        *(f"receipts.{key}" for key in ReceiptSigning.model_fields),
        *(key for key, _ in keys_of(Expectation, "expectations[].") if key != "expectations[].holidays"),
        *(f"accept[].{key}" for key in AcceptRule.model_fields),
        *(f"partners[].{key}" for key in Partner.model_fields),
        *(key for key in KEYS if key.startswith("jobs[].")),
        *(f"audit.ship[].{key}" for key in ShipTarget.model_fields),
        "passive.public_address_for[].networks",
        "passive.public_address_for[].address",
    }
    assert {key for key, _ in keys_of(Config)} - written == shown_in_comments


def test_the_configuration_we_ship_holds_the_defaults(tmp_path: Path) -> None:
    """Starting from the shipped file is starting from the defaults."""
    empty = tmp_path / "ftpsd.yaml"
    empty.write_text("")
    ours, defaults = load_config(shipped("ftpsd.yaml")), load_config(empty)
    elsewhere = {
        "tls": ours.tls.model_copy(
            update={key: tmp_path / "tls" / getattr(ours.tls, key).name for key in ("certificate", "private_key")}
        ),
        "users": tmp_path / ours.users.name,
    }
    moved = ours.model_copy(update=elsewhere)
    assert {name: getattr(moved, name) for name in Config.model_fields} == {
        name: getattr(defaults, name) for name in Config.model_fields
    }


def test_the_users_file_we_ship_has_every_key() -> None:
    """The example user shows every key."""
    written = set(written_keys(parse(shipped("users.yaml").read_text(), "f").root))
    of_users = {key.replace("NAME", "example") for key in ALONE if ".receipts." not in key}
    assert of_users | {"users.example.second_factor", "users.example.receipts"} <= written


def test_nobody_can_log_in_with_the_users_file_we_ship() -> None:
    """An operator who copies the file and forgets it has opened nothing."""
    found = load_users(shipped("users.yaml")).users.values()
    assert [user.name for user in found if user.enabled or user.password] == []
