"""Accept rules of roles: whose they are, what `ftpsd check` says of them, and of ways around rules."""

from __future__ import annotations

from pathlib import Path

from ftpsd.auth.explain import gates_told
from ftpsd.config.accept.role_rules import look_at_role_rules
from ftpsd.service.inspecting.unguarded_ways import unguarded_ways
from ftpsd.values.path import VirtualPath
from tests.unit.config.samples import config, users

ROLES = """
roles:
  base: {rules: [{path: /**, allow: all}], accept: [{paths: [/base/**], max_size: 1}]}
  partner: {like: base, rules: [], accept: [{paths: [/in/**], max_size: 2}]}
  other: {rules: [{path: /**, allow: [list, read]}], accept: [{paths: [/deep], names: [a]}]}
groups:
  all: {role: partner, rules: null}
users:
  alice: {home: /srv/a, role: partner, mounts: [{path: /m, directory: /srv/m, role: other}]}
  bob: {home: /srv/b, group: all}
  carol: {home: /srv/c}
"""


def test_all_rules_of_all_roles_hold() -> None:
    """Those of the role, of the role it is like, of the group's; and of a mount's from where that is."""
    found = users(ROLES).users
    assert [rule.paths for rule in found["alice"].accept] == [("/in/**",), ("/base/**",), ("/m/deep",)]
    assert [rule.paths for rule in found["bob"].accept] == [("/in/**",), ("/base/**",)]
    assert found["carol"].accept == ()


def test_explain_names_both_kinds() -> None:
    """Neither wins: each has to take the file."""
    loaded = config("accept: [{paths: [/**], names: [a]}]")
    told = list(gates_told(loaded, users(ROLES).users["alice"], VirtualPath.parse("/in/a")))
    assert told == [
        "accept rule 1 (/**) has to take the file: names: a",
        "accept rule 1 of the roles of alice (/in/**) has to take the file: max_size: 2",
    ]


def test_what_is_refused() -> None:
    """A rule that asks nothing, and any at all where uploads are written in place."""
    loaded = users("roles: {a: {rules: [], accept: [{paths: [/in]}]}}\nusers: {b: {home: /srv/b, role: a}}")
    (complaint,) = look_at_role_rules(config(""), [loaded])
    assert (complaint.key, "asks nothing" in complaint.message) == ("roles.a.accept[0]", True)
    complaints = list(look_at_role_rules(config("uploads: {mode: direct}"), [users(ROLES)]))
    assert {complaint.key for complaint in complaints} == {
        f"roles.{name}.accept" for name in ("base", "partner", "other")
    }


def test_ways_of_others_into_a_guarded_directory(tmp_path: Path) -> None:
    """A warning at each user who can store there by a path for which no rule holds."""
    home = tmp_path / "alice"
    (home / "in" / "deep").mkdir(parents=True)
    loaded = users(
        f"""
        roles:
          reader: {{rules: [{{path: /**, allow: [list, read]}}]}}
          there: {{rules: [{{path: /x/**, allow: [upload]}}]}}
        users:
          alice: {{home: {home}, mounts: [{{path: /again, directory: {home}/in}}]}}
          above: {{home: {tmp_path}}}
          inside: {{home: {home}/in/deep}}
          mounted: {{home: {tmp_path}/m, mounts: [{{path: /x, directory: {home}/in}}]}}
          guarded: {{home: {tmp_path}/g, mounts: [{{path: /in, directory: {home}/in}}]}}
          reader: {{home: {home}/in, role: reader}}
          elsewhere: {{home: {tmp_path}/e, role: there}}
          nowhere: {{home: {tmp_path}, role: there}}
          gone: {{home: {home}/in, enabled: false}}
        """
    )
    warnings = list(unguarded_ways(config("accept: [{paths: [/in/**], max_size: 1}]"), [loaded]))
    assert {warning.key for warning in warnings} == {"users.above", "users.inside", "users.mounted"}
    assert {warning.severity for warning in warnings} == {"warning"}
    (told,) = (warning.message for warning in warnings if warning.key == "users.mounted")
    assert told.startswith(f"can store as /x what lies in {home}/in, where accept rules guard /in/** of alice")
    assert list(unguarded_ways(config(""), [loaded])) == []
