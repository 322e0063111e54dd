"""`ftpsd plan`: what a changed configuration allows that was not allowed before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from ftpsd.auth.loosening import (
    COMPARED,
    LESS,
    MORE,
    NAMED,
    OPEN_NOTHING,
    OPENS,
    ORDERS,
    PROTECTS,
    RULES,
)
from ftpsd.cli.program import main
from ftpsd.config.fields import Section
from ftpsd.config.model import Config, Metrics
from ftpsd.config.users import UserRecord
from tests.unit.service.site import Site

LDAP = """\
ldap: {servers: [ldaps://a], bind_dn: cn=a, bind_password_file: secret, search_base: dc=a, homes: [/srv],
  home: '/srv/{user}', roles: {cn=g: partner}}
"""
PARTNER = """\
roles:
  partner: {rules: [{path: /in/**, allow: [list, upload]}, {path: /**, allow: [list, read]}]}
users:
  alice: {home: home, role: partner, networks: [10.0.0.0/8], expires: 2030-01-01, second_factor: required}
  bob: {home: home, role: partner, enabled: false}
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.write_users(PARTNER)
    return site


def planned(site: Site, users: str, *changes: tuple[str, str], code: int = 1) -> dict[str, list[str]]:
    """Return what is told of a configuration with other *users* and *changes*, for the server under "server"."""
    text = site.path.read_text().replace("users: users.yaml", "users: new-users.yaml")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (site.folder / "new.yaml").write_text(text)
    (site.folder / "new-users.yaml").write_text(users)
    (site.folder / "new-users.yaml").chmod(0o600)
    command = ["plan", str(site.folder / "new.yaml"), "--config", str(site.path), "--json"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == code, result.output
    told = json.loads(result.stdout)
    return {"server": told["server"], **told["users"]}


def test_nothing_new(site: Site) -> None:
    """Also where something is taken away."""
    assert planned(site, PARTNER, code=0) == {"server": []}
    less = PARTNER.replace("[list, upload]", "[list]").replace("10.0.0.0/8", "10.1.0.0/16")
    assert planned(site, less, ("mode: explicit", "mode: explicit"), code=0) == {"server": []}
    text = CliRunner().invoke(main, ["plan", str(site.path), "--config", str(site.path)])
    assert (text.exit_code, text.stderr) == (0, "nothing is allowed that was not allowed before\n")


def test_each_thing_that_is_new(site: Site) -> None:
    """Of users: rights, directories, networks, times, factors, being there at all."""
    table = {
        ("[list, upload]", "[list, upload, delete]"): {"alice": ["may delete at /in/**"]},
        ("[list, read]", "all"): {
            "alice": ["may append, chmod, delete, mkdir, overwrite, rename, rmdir, set-time, upload at /**"]
        },
        ("networks: [10.0.0.0/8], ", ""): {"alice": ["may come from anywhere; before from 10.0.0.0/8"]},
        ("10.0.0.0/8", "10.0.0.0/8, 192.0.2.0/24"): {
            "alice": ["may come from 10.0.0.0/8, 192.0.2.0/24; before from 10.0.0.0/8"]
        },
        (", second_factor: required", ""): {"alice": ["needs no second factor any more"]},
        ("expires: 2030-01-01, ", ""): {"alice": ["may log in for ever; before until 2030-01-02 00:00 UTC"]},
        (", enabled: false", ""): {
            "bob": ["is enabled again", "may list, read at /**", "may list, upload at /in/**"],
        },
        ("alice: {home: home, ", "alice: {home: tls, "): {
            "alice": [
                f"may list, read at /** in {site.folder}/tls, another directory than before",
                f"may list, upload at /in/** in {site.folder}/tls, another directory than before",
            ]
        },
        ("users:\n", "users:\n  carol: {home: home}\n"): {"carol": ["is new", "may everything at /**"]},
    }
    wrong = {}
    for (old, new), expected in table.items():
        told = planned(site, PARTNER.replace(old, new, 1))
        del told["server"]
        if told != expected:
            wrong[old, new] = told
    assert wrong == {}


def test_of_the_server(site: Site) -> None:
    """Weaker protection and further listeners."""
    told = planned(
        site,
        PARTNER,
        ("tls:\n", "tls:\n  require: none\n  allow_ccc: true\n"),
        ("listeners:\n", "penalties: {enabled: false}\nlisteners:\n  - {mode: explicit, port: 2199}\n"),
    )
    assert told["server"] == [
        "tls.require is none, before control-and-data",
        "tls.allow_ccc is true, before false",
        "penalties.enabled is false, before true",
        "it listens at another place: explicit on :: port 2199",
    ]


def test_every_key_is_thought_of() -> None:
    """A key in none of the tables would be passed over, and what it opens with it."""
    tables = (ORDERS, MORE, LESS, OPENS, PROTECTS, RULES, NAMED, COMPARED, OPEN_NOTHING)
    told = [key for table in tables for key in table]
    assert sorted(told) == sorted(keys_of(Config))
    about_users = {
        *("name", "enabled", "password", "home", "rules", "networks", "expires", "hours", "authentication"),
        *("certificates", "second_factor", "sessions", "download_rate", "upload_rate", "quota", "mounts", "encryption"),
        *("accept", "data_session_reuse", "upload_end"),
    }
    opening_nothing = {"role", "group", "preflight", "encoding", "stored_encoding", "receipts", "accounts", "entry"}
    assert about_users | opening_nothing == {each.name for each in fields(UserRecord)}


def keys_of(section: type[Section]) -> Iterator[str]:
    """Yield the keys of *section*, those of sections in it with a dot, of what may be left out or repeated its own."""
    for name, found in section.model_fields.items():
        kind = Metrics if name == "metrics" else found.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from (f"{name}.{key}" for key in keys_of(kind))
        else:
            yield name


def test_what_lets_in_others(site: Site) -> None:
    """Each key of the server that opens something, from a value that does not."""
    (site.folder / "hosts.yaml").write_text("users: {}\n")
    (site.folder / "hosts.yaml").chmod(0o600)
    host = "names: [a.example.com], users: hosts.yaml"
    strict = f"""\
symlinks: none
authentication: certificate-and-password
limits: {{failed_logins: 2, download_rate: 1MiB/s, connection_rate: 10/10s}}
scanning: {{limit: 1GiB}}
passive: {{proxy_protocol: {{trusted: [192.0.2.1]}}}}
accept:
  - {{paths: [/in/**], names: ["*.csv"]}}
  - {{paths: [/in/**], max_size: 1MiB}}
virtual_hosts: [{{{host}, second_factor: required}}]
"""
    site.write(strict)
    table = {
        ("symlinks: none\n", ""): "symlinks is inside, before none",
        ("certificate-and-password", "password"): "authentication is password, before certificate-and-password",
        ("failed_logins: 2", "failed_logins: 9"): "limits.failed_logins is 9, before 2",
        (
            "download_rate: 1MiB/s",
            "download_rate: unlimited",
        ): "limits.download_rate is without a limit, before 1048576",
        ("10/10s", "10/1s"): "limits.connection_rate is 10/1s, before 10/10s",
        ("limit: 1GiB", "limit: 1MiB"): "scanning.limit is 1048576, before 1073741824",
        ("[192.0.2.1]", "[192.0.2.0/24]"): "passive ports: 192.0.2.0/24 may say who a client is (PROXY header)",
        (", max_size: 1MiB", ", max_size: 2MiB"): "the accept rule of /in/** has changed; read it",
        ('  - {paths: [/in/**], names: ["*.csv"]}\n', ""): "the accept rule of /in/** is gone",
        (", second_factor: required", ""): "host a.example.com: second_factor is not required any more",
        (host, f"{host}, authentication: password"): (
            "host a.example.com: authentication is password, before certificate-and-password"
        ),
        ("port: 9121", "port: 9122"): "metrics and status page are at another place: 127.0.0.1 port 9122",
        ("symlinks", "expired_certificate: serve\nsymlinks"): "expired_certificate is serve, before refuse",
        ("symlinks", "uploads: {umask: '007'}\nsymlinks"): "uploads.umask is 007, before 077",
        ("symlinks", "control_groups: {operator: users}\nsymlinks"): "control_groups.operator has changed; read it",
        ("symlinks", "penalties: {weights: {wrong_password: 0}}\nsymlinks"): (
            "penalties.weights.wrong_password is 0, before 1"
        ),
        ("audit:\n", "audit:\n  events: [-command]\n"): "audit.events has changed; read it",
        ("symlinks", "accounts: [file, pam]\npam: {homes: [/srv], home: '/srv/{user}'}\nsymlinks"): [
            "pam has changed; read it",
            "users of pam may log in, too",
        ],
    }
    wrong = {}
    for (old, new), expected in table.items():
        told = planned(site, PARTNER, (old, new))["server"]
        if told != ([expected] if isinstance(expected, str) else expected):
            wrong[old, new] = told
    assert wrong == {}


STRICT = """\
roles:
  partner:
    rules: [{path: /**, allow: [list, read]}]
    accept: [{paths: [/in/**], names: ["*.csv"]}]
users:
  alice:
    home: home
    role: partner
    quota: {bytes: 1GiB, files: 10}
    download_rate: 1MiB/s
    sessions: 2
    encryption: main
    upload_end: close-notify
  carol: {source: ldap, networks: [192.0.2.0/24]}
"""


def test_exceptions_of_users(site: Site) -> None:
    """What uploads are asked, how they are kept, how much one may take; and of users whom a source knows."""
    site.write("accounts: [file, ldap]\nencryption: {data_keys: keys, keys: {main: [{file: key}]}}\n" + LDAP)
    site.write_users(STRICT)
    table: dict[tuple[str, str], dict[str, list[str]]] = {
        ('    accept: [{paths: [/in/**], names: ["*.csv"]}]\n', ""): {
            "alice": ["the accept rule of /in/** is gone"],
            "users of sources with the role partner": ["the accept rule of /in/** is gone"],
        },
        ("[list, read]", "[list, read, delete]"): {
            "alice": ["may delete at /**"],
            "users of sources with the role partner": ["may delete at /**"],
        },
        ("bytes: 1GiB", "bytes: 2GiB"): {"alice": ["may store 2147483648 bytes; before 1073741824"]},
        (", files: 10", ""): {"alice": ["may store any number of files; before 10"]},
        ("1MiB/s", "unlimited"): {"alice": ["download_rate is unlimited, before 1048576"]},
        ("sessions: 2", "sessions: 3"): {"alice": ["sessions is 3, before 2"]},
        ("    sessions: 2\n", ""): {"alice": ["sessions is 50, before 2"]},
        ("    encryption: main\n", ""): {"alice": ["files at / are encrypted with no keys, before with main"]},
        ("close-notify", "fin"): {"alice": ["may end uploads without close_notify"]},
        ("  carol: {source: ldap, networks: [192.0.2.0/24]}\n", ""): {
            "carol": ["may come from anywhere; before from 192.0.2.0/24"]
        },
    }
    wrong = {}
    for (old, new), expected in table.items():
        assert old in STRICT
        told = planned(site, STRICT.replace(old, new, 1))
        if told != {"server": [], **expected}:
            wrong[old, new] = told
    assert wrong == {}
