"""`ftpsd plan`: what a changed configuration allows that was not allowed before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ftpsd.cli.program import main
from tests.unit.service.site import Site

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
