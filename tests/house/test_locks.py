"""The locks in requirements/: complete, with hashes, within the ranges of pyproject.toml, and used to install."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.tools import ROOT

FOLDER = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
# The sources of each lock: the daemon, what builds it, and an extra.
MADE_OF = {
    "run.txt": None,
    "test.txt": "test",
    "bench.txt": "bench",
    "ldap.txt": "ldap",
    "http.txt": "http",
    "brokers.txt": "brokers",
    "holidays.txt": "holidays",
    "floors.txt": "test",
}
# The locks of tools that stand alone, each of a group.
ALONE = {"sslyze.txt": "sslyze"}
ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)[^\\\n]*(?: \\\n {4}--hash=sha256:[0-9a-f]{64})+$", re.MULTILINE)
INSTALL = re.compile(r"\bpip3? install\b(?P<words>[^\n&;`\"]*)")


@cache
def locked(lock: str) -> dict[str, Version]:
    """Return the versions of a lock; every line of the file must be part of an entry with hashes."""
    text = (FOLDER / lock).read_text()
    assert ENTRY.sub("", text).strip() == "", f"{lock}: lines without a version and hashes"
    return {canonicalize_name(name): Version(version) for name, version in ENTRY.findall(text)}


def declared(name: str) -> list[Requirement]:
    """Return what pyproject.toml asks for of the packages in a lock."""
    if name in ALONE:
        return [Requirement(line) for line in PROJECT["dependency-groups"][ALONE[name]]]
    extra = MADE_OF[name]
    lines = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"] + (EXTRAS[extra] if extra else [])
    return [Requirement(line) for line in lines]


def floor(requirement: Requirement) -> Version:
    """Return the lowest version that a range allows."""
    (lowest,) = [Version(bound.version) for bound in requirement.specifier if bound.operator == ">="]
    return lowest


def version_of(requirement: Requirement, versions: dict[str, Version]) -> Version:
    """Return the locked version of what is asked for; 0 where it is missing, which no range allows."""
    return versions.get(canonicalize_name(requirement.name), Version("0"))


def needed(package: str) -> list[Requirement]:
    """Return what a package asks for on this machine, its extras apart; nothing where it is not installed."""
    try:
        lines = metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return []
    asked = [Requirement(line) for line in lines]
    return [each for each in asked if each.marker is None or each.marker.evaluate({"extra": ""})]


@pytest.mark.parametrize("name", [*MADE_OF, *ALONE])
def test_a_lock_holds_what_the_project_asks_for(name: str) -> None:
    """Each package of pyproject.toml is locked, in a version that its range allows."""
    versions = locked(name)
    wrong = [str(asked) for asked in declared(name) if version_of(asked, versions) not in asked.specifier]
    assert wrong == [], "requirements/lock makes it anew"


def test_every_extra_has_a_lock() -> None:
    """An extra, or a group, without a lock would be installed in whatever version is there that day."""
    assert set(ALONE.values()) == set(PROJECT["dependency-groups"])
    assert {extra for extra in MADE_OF.values() if extra} == set(EXTRAS)
    assert {path.name for path in FOLDER.glob("*.txt")} == {*MADE_OF, *ALONE}


@pytest.mark.parametrize("name", ["test.txt", "bench.txt", "ldap.txt", "http.txt", "brokers.txt", "holidays.txt"])
def test_what_is_tested_is_what_runs(name: str) -> None:
    """Tests and benchmarks have the versions that an operator gets."""
    others = locked(name)
    assert {package: others.get(package) for package in locked("run.txt")} == locked("run.txt")


def test_the_floors_are_those_declared() -> None:
    """floors.txt has the lowest version of each range, so that the tests with it prove the range."""
    versions = locked("floors.txt")
    others = [str(asked) for asked in declared("floors.txt") if version_of(asked, versions) != floor(asked)]
    assert others == []


@pytest.mark.parametrize("name", ["run.txt", "test.txt"])
def test_a_lock_is_closed(name: str) -> None:
    """The needs of a locked and installed package are locked too, in versions that it takes."""
    versions = locked(name)
    asked = [each for package in versions for each in needed(package)]
    assert [str(each) for each in asked if version_of(each, versions) not in each.specifier] == []


def test_no_lock_names_a_place() -> None:
    """Where packages come from is for the machine that installs them to say."""
    places = re.compile(r"://|index-url|find-links|file:|/opt/|/tmp/|resolved")
    files = [*FOLDER.glob("*.txt"), *FOLDER.glob("node/*.json")]
    assert [path.name for path in files if places.search(path.read_text())] == []


@pytest.mark.parametrize("path", ["README.md", ".ci/run", "docs/operations.md", "bench/README.md"])
def test_nothing_is_installed_past_the_locks(path: str) -> None:
    """Every `pip install` reads a lock, or installs the project itself and nothing with it."""
    lines = INSTALL.findall((ROOT / path).read_text())
    read = {found for line in lines for found in re.findall(r"--require-hashes -r requirements/([a-z]+\.txt)", line)}
    assert read
    assert read <= {*MADE_OF, *ALONE}
    past = [
        line for line in lines if "--require-hashes -r" not in line and "--no-deps --no-build-isolation" not in line
    ]
    assert past == []


def test_the_client_from_npm_is_locked() -> None:
    """`npm ci` installs what package-lock.json names, by its digest."""
    lock = json.loads((FOLDER / "node" / "package-lock.json").read_text())
    wanted = json.loads((FOLDER / "node" / "package.json").read_text())["dependencies"]
    packages = {name: found for name, found in lock["packages"].items() if name}
    assert {name.removeprefix("node_modules/"): found["version"] for name, found in packages.items()} == wanted
    assert all(found["integrity"].startswith("sha512-") for found in packages.values())
    assert "npm ci" in (ROOT / ".ci" / "run").read_text()
