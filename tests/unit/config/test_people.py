"""users.yaml: what roles and groups give to users, hours, and what is refused about them."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

from ftpsd.config.people.layers import MAX_LIKE
from ftpsd.values.permission import Permission
from ftpsd.values.quota import Quota
from ftpsd.values.rule import Rule
from tests.unit.config.samples import FOLDER, users, users_complaints

FAMILY = """
roles:
  base:
    rules: [{path: /**, allow: [list]}]
    networks: [10.0.0.0/8]
    sessions: 3
    quota: {bytes: 1000}
    mounts: [{path: /common, directory: 'common/{user}', role: base}]
  partner:
    like: base
    rules: [{path: /inbox/**, allow: [upload]}]
    sessions: 2
    hours: {from: "06:00"}
groups:
  acme:
    home: '/srv/acme/{user}'
    role: partner
    upload_rate: 1MiB/s
    expires: 2030-01-01
  open: {home: "/srv/open/x{user}y"}
  own: {home: /srv/own, rules: [{path: /own, allow: all}], networks: [192.0.2.0/24]}
users:
  alice: {group: acme}
  bob: {group: acme, home: bob, networks: [], quota: {}, mounts: [], hours: [], sessions: 9, expires: 2031-01-01}
  carol: {group: acme, role: base}
  dave: {group: acme, rules: [{path: /dave, allow: [read]}]}
  eve: {group: open}
  fay: {group: own}
  gus: {home: /g, role: partner, networks: null}
"""
BASE = Rule("/**", frozenset({Permission.LIST}))
PARTNER = (Rule("/inbox/**", frozenset({Permission.UPLOAD})), BASE)


def test_the_nearest_that_says_something_counts() -> None:
    """The user, the group, the role, the role that is like; a key is taken whole, and null says nothing."""
    found = users(FAMILY).users
    alice, bob, carol, dave, eve, fay, gus = found.values()
    assert (alice.home, alice.rules, alice.role, alice.group) == (Path("/srv/acme/alice"), PARTNER, "partner", "acme")
    assert (alice.networks, alice.sessions, alice.quota) == ((ip_network("10.0.0.0/8"),), 2, Quota(1000))
    assert (alice.upload_rate, alice.expires) == (1 << 20, datetime(2030, 1, 2, tzinfo=UTC))
    assert [(str(mount.path), mount.directory, mount.rules) for mount in alice.mounts] == [
        ("/common", FOLDER / "common/alice", (BASE,))
    ]
    assert [str(hours) for hours in alice.hours] == ["mon-sun 06:00-24:00 UTC"]
    assert (bob.home, bob.networks, bob.quota, bob.mounts, bob.hours) == (FOLDER / "bob", (), None, (), ())
    assert (bob.sessions, bob.rules) == (9, PARTNER)
    # A role of the user's own stands in the place of the group's, with all that it gives.
    assert (carol.rules, carol.role, carol.hours, carol.sessions) == ((BASE,), "base", (), 3)
    # Rules of the user's own replace rules, and lift nothing that the role of the group demands.
    assert (dave.rules, dave.role) == ((Rule("/dave", frozenset({Permission.READ})),), None)
    assert (dave.networks, dave.sessions) == (alice.networks, 2)
    assert (eve.home, eve.rules, eve.networks) == (Path("/srv/open/xevey"), None, ())
    assert (fay.home, fay.role, fay.networks) == (Path("/srv/own"), None, (ip_network("192.0.2.0/24"),))
    assert [rule.pattern for rule in fay.rules or ()] == ["/own"]
    assert (gus.home, gus.networks, gus.rules) == (Path("/g"), (ip_network("10.0.0.0/8"),), PARTNER)


WRONG = [
    ("users: {a: {home: /h, group: x}}", "users.yaml:1:30: users.a.group: there is no group x; the groups"),
    ("groups: {g: {role: x}}", "users.yaml:1:20: groups.g.role: there is no role x; the roles are none"),
    ("roles: {a: {like: b}}", "users.yaml:1:19: roles.a.like: there is no role b; the roles are a"),
    ("roles: {a: {}}", "users.yaml:1:12: roles.a.rules: missing; add rules: to roles.a, or like:"),
    ("roles: {a: {like: a}}", "users.yaml:1:19: roles.a.like: like itself; remove like: from one of them"),
    (
        "roles:\n  a: {like: c}\n  b: {like: a}\n  c: {like: b}\n  d: {like: a}",
        "users.yaml:2:13: roles.a.like: in a circle: a (line 2) and c (line 4) and b (line 3) are",
    ),
    (
        "roles:\n  r0: {rules: []}\n" + "".join(f"  r{n}: {{like: r{n - 1}}}\n" for n in range(1, MAX_LIKE + 1)),
        f"users.yaml:{2 + MAX_LIKE}:15: roles.r{MAX_LIKE}.like: more than {MAX_LIKE} roles are like each other",
    ),
    (
        "roles: {r: {rules: []}}\ngroups: {g: {role: r, rules: []}}",
        "users.yaml:2:30: groups.g.rules: a group has a role or rules, not both; remove one",
    ),
    ("groups: {g: {}}\nusers: {a: {group: g}}", "users.yaml:2:12: users.a.home: missing; add home: to users.a"),
    (
        "groups: {g: {home: '/h/{name}'}}",
        "users.yaml:1:20: groups.g.home: {name} stands for nothing; {user} stands for the name of the user",
    ),
    (
        "roles: {r: {rules: [], mounts: [{path: /m, directory: '/h/{a}'}]}}",
        "users.yaml:1:55: roles.r.mounts[0].directory: {a} stands for nothing",
    ),
    (
        "groups: {g: {home: '/h/{user}'}}\nusers: {../x: {group: g}}",
        "users.yaml:2:9: users.../x: ../x begins with a dot, or holds a /, so it cannot stand for {user} in "
        "/h/{user} (line 1); rename the user, or write the directory out here",
    ),
    ("groups: {g: {home: '/h/{user}'}}\nusers: {'..': {group: g}}", "users.yaml:2:9: users...: .. begins"),
    ("groups: {g: {home: '/h/{user}'}}\nusers: {.a: {group: g}}", "users.yaml:2:9: users..a: .a begins with a dot"),
    ("groups: {g: {home: '/h/{user}'}}\nusers: {a/b: {group: g}}", "users.yaml:2:9: users.a/b: a/b begins with"),
    (
        "roles: {r: {rules: [], mounts: [{path: /m, directory: '/h/{user}'}]}}\nusers: {.a: {home: /h, role: r}}",
        "users.yaml:2:9: users..a: .a begins with a dot",
    ),
    ("groups: {g: {hom: /h}}", "users.yaml:1:14: groups.g.hom: not a key of groups.g; did you mean home?"),
    (
        "users: {a: {home: /h, hours: {form: '06:00'}}}",
        "users.yaml:1:31: users.a.hours.form: not a key of users.a.hours; did you mean from?",
    ),
    (
        "users: {a: {home: /h, hours: [{}, {zon: UTC}]}}",
        "users.yaml:1:36: users.a.hours[1].zon: not a key of users.a.hours[1]; did you mean zone?",
    ),
    (
        "users: {a: {home: /h, hours: {from: 6}}}",
        'users.yaml:1:37: users.a.hours.from: 6 is no time of day; write one such as "06:00"',
    ),
    ("users: {a: {home: /h, hours: {to: 24:01}}}", "users.yaml:1:35: users.a.hours.to: 24:01 is no time of day"),
    ("users: {a: {home: /h, hours: {from: 24:00}}}", "users.yaml:1:37: users.a.hours.from: 24:00 is the end of a"),
    (
        "users: {a: {home: /h, hours: {from: 6:00, to: 06:00}}}",
        "users.yaml:1:30: users.a.hours: from and to are the same time; leave both out for the whole day",
    ),
    (
        "users: {a: {home: /h, hours: {days: [mon, someday]}}}",
        "users.yaml:1:37: users.a.hours.days: someday is no day; write some of mon, tue",
    ),
    ("users: {a: {home: /h, hours: {days: []}}}", "users.yaml:1:37: users.a.hours.days: must not be empty"),
    ("users: {a: {home: /h, hours: {days: mon}}}", "users.yaml:1:37: users.a.hours.days: must be a list such as"),
    (
        "users: {a: {home: /h, hours: {zone: Europe/Berln}}}",
        "users.yaml:1:37: users.a.hours.zone: Europe/Berln is no time zone that this system knows",
    ),
    ("users: {a: {home: /h, hours: {zone: ../../etc/passwd}}}", "users.yaml:1:37: users.a.hours.zone: ../../etc/p"),
    ("users: {a: {home: /h, hours: always}}", "users.yaml:1:30: users.a.hours: must be a list, such as [a, b]"),
]


def test_one_mistake_is_one_sentence() -> None:
    """Each mistake is told once, at its place, with what to do."""
    for text, complaint in WRONG:
        (line,) = users_complaints(text)
        assert line.startswith(complaint), text


def test_a_name_that_no_template_uses_may_be_anything() -> None:
    """A name with a dot is a name where the home is written out."""
    found = users("groups: {g: {home: '/h/{user}'}}\nusers: {.a: {group: g, home: /x}, b: {group: g}}").users
    assert [user.home for user in found.values()] == [Path("/x"), Path("/h/b")]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_hours_follow_the_wall() -> None:
    """Over midnight, in a zone, and on the nights that the clocks change."""
    work, night, summer = users(
        "users: {a: {home: h, hours: [{days: [mon-fri], from: '06:00', to: '20:00', zone: Europe/Berlin},\n"
        "  {days: [sun-mon], from: '22:00', to: '06:00', zone: America/New_York},\n"
        "  {days: [sun], from: '02:00', to: '03:00', zone: Europe/Berlin}]}}"
    ).users["a"].hours  # fmt: skip
    cases = [
        (work, "2027-01-04T05:00:00+00:00", True),  # Monday, 06:00 in winter
        (work, "2027-01-04T04:59:59+00:00", False),
        (work, "2027-07-05T04:00:00+00:00", True),  # Monday, 06:00 in summer
        (work, "2027-07-05T17:59:59+00:00", True),
        (work, "2027-07-05T18:00:00+00:00", False),
        (work, "2027-01-03T12:00:00+00:00", False),  # Sunday
        (night, "2027-01-04T03:00:00+00:00", True),  # Sunday, 22:00 in New York
        (night, "2027-01-04T02:59:59+00:00", False),
        (night, "2027-01-04T10:59:59+00:00", True),  # Monday, 05:59, of Sunday's night
        (night, "2027-01-04T11:00:00+00:00", False),
        (night, "2027-01-05T10:00:00+00:00", True),  # Tuesday, 05:00, of Monday's
        (night, "2027-01-06T10:00:00+00:00", False),  # Wednesday: no night began on Tuesday
        (night, "2027-01-03T10:00:00+00:00", False),  # Sunday, 05:00: none on Saturday
        (summer, "2027-10-31T00:30:00+00:00", True),  # 02:30 for the first time
        (summer, "2027-10-31T01:30:00+00:00", True),  # and for the second
        (summer, "2027-10-31T02:00:00+00:00", False),
        (summer, "2027-03-28T01:00:00+00:00", False),  # 03:00: there was no 02:30
        (summer, "2027-03-28T00:59:59+00:00", False),
    ]
    assert [(str(hours), when, hours.include(at(when))) for hours, when, _ in cases] == [
        (str(hours), when, expected) for hours, when, expected in cases
    ]
    assert [str(hours) for hours in (work, night)] == [
        "mon-fri 06:00-20:00 Europe/Berlin",
        "mon,sun 22:00-06:00 America/New_York",
    ]
