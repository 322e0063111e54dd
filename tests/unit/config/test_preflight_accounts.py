"""Accounts with `preflight: true`: what they are given, and what is refused because it reaches files of others."""

from __future__ import annotations

from ftpsd.values.quota import Quota
from tests.unit.config.samples import users, users_complaints


def test_an_account_for_trying_proves_less_and_has_a_quota() -> None:
    """Data connections and uploads need no proof; a quota of its own goes before the usual one."""
    found = users(
        "users: {a: {home: /h, preflight: true}, b: {home: /b, preflight: true, quota: {files: 5}}, c: {home: /c}}"
    )
    a, b, c = (found.users[name] for name in "abc")
    assert (a.preflight, a.data_session_reuse, a.upload_end) == (True, "offered", "fin")
    assert (a.quota, b.quota, c.quota) == (Quota(100 << 20, 1000), Quota(None, 5), None)
    assert (c.preflight, c.data_session_reuse, c.upload_end) == (False, None, "close-notify")


def test_an_account_for_trying_reaches_nothing_of_others() -> None:
    """No mounts, also of a group; no home that is, holds or lies in a directory of another user; no source."""
    bad = {
        "a: {home: /srv/a, preflight: true, mounts: [{path: /m, directory: /srv/m}]}": "remove mounts:",
        "a: {group: g, preflight: true}": "remove mounts:",
        "a: {home: /srv/b, preflight: true}, b: {home: /srv/b}": "directory of b",
        "a: {home: /srv/b/a, preflight: true}, b: {home: /srv/b/}": "directory of b",
        "a: {home: /srv, preflight: true}, b: {home: /srv/b}": "directory of b",
        "a: {home: /srv/c/x/.., preflight: true}, b: {home: /b, mounts: [{path: /m, directory: /srv/c}]}": "of b",
        "a: {source: ldap, preflight: true}": "remove source:",
        "a: {home: /srv/a, preflight: on}": "true or false",
    }
    groups = "groups: {g: {home: '/srv/{user}', mounts: [{path: /m, directory: /srv/m}]}}"
    for text, said in bad.items():
        complaints = users_complaints(f"{groups}\nusers: {{{text}}}")
        assert [each for each in complaints if "users.a.preflight" in each and said in each], (text, complaints)
    good = "a: {home: '/srv/a', preflight: true}, b: {home: /srv/ab}, c: {home: srv/a}, d: {group: h}"
    assert "a" in users(f"groups: {{h: {{home: '/srv/h/{{user}}'}}}}\nusers: {{{good}}}").users
