"""
Run the unit tests with the lowest versions that pyproject.toml allows, and with the newest that there are.

Prints each version beside the locked one where they differ, and what each run found. The lowest are locked too
(requirements/floors.txt), so a failure with them comes from a change of this project and fails the build. A failure
with the newest comes from somebody else's release: it is told, and the build goes on with the locked versions.

    python3 .ci/versions.py install     # both, each in a virtualenv of its own; needs no more than Python
    python3 .ci/versions.py             # the tests, with what was installed
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "build" / "versions"
LOCK = ROOT / "requirements" / "test.txt"
INSTALLS = {
    "floors": [["--require-hashes", "-r", "requirements/floors.txt"], ["--no-deps", "--no-build-isolation", "-e", "."]],
    "newest": [["--upgrade", "-e", ".[test]"]],
}
# The quick ones: what a version of a library changes shows in few examples as well as in many.
TESTS = ["-q", "-n", "2", "-m", "quick", "-p", "no:cacheprovider", "--no-header", "--tb=short"]
# Only what stands on libraries of others: TLS, hashes, configuration, commands, metrics, the state file, events.
TESTS += [f"tests/unit/{name}" for name in ("admin", "audit", "auth", "cli", "config", "durable", "events", "tls")]
TESTS += ["tests/unit/storage/sealing", "tests/contracts/test_sources.py"]
# Both runs together take some four minutes of processor time; one that hangs must end within CI's time.
SECONDS = 900


@dataclass(slots=True)
class Outcome:
    """What one run found, and with which versions."""

    versions: dict[str, str] = field(default_factory=dict)
    closing: str = "not run"
    is_good: bool = False
    failures: list[str] = field(default_factory=list)
    is_installed: bool = False


def normalized(name: str) -> str:
    """Return a package's name in its one spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> dict[str, str]:
    """Return the versions of a lock."""
    return {normalized(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)}


def called(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program in the project's folder; return what it printed, both streams in one."""
    return subprocess.run(
        arguments, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS
    )


def installed(name: str) -> Outcome:
    """Install the versions called *name* into a virtualenv of their own."""
    folder = HERE / name
    venv.create(folder, clear=True, with_pip=True)
    python = python_of(name)
    for words in INSTALLS[name]:
        done = called(python, "-m", "pip", "install", "-q", *words)
        if done.returncode:
            print(done.stdout)
            return Outcome(closing="cannot be installed")
    listed = called(python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check")
    found: list[dict[str, str]] = json.loads(listed.stdout)
    return Outcome({normalized(package["name"]): package["version"] for package in found}, is_installed=True)


def install() -> int:
    """Install both, and write down how that went for the tests; return 0, for they tell it."""
    # One after the other: both build in the project's folder.
    for name in INSTALLS:
        outcome = installed(name)
        record_of(name).write_text(json.dumps(asdict(outcome)))
    return 0


def record_of(name: str) -> Path:
    """Return the file that says how the versions called *name* were installed."""
    return HERE / f"{name}.json"


def python_of(name: str) -> Path:
    """Return the Python of the virtualenv for *name*."""
    return HERE / name / "bin" / "python"


def tried(name: str, outcome: Outcome) -> Outcome:
    """Run the tests with the versions called *name*, where they could be installed."""
    if not outcome.is_installed:
        return outcome
    lock = locked(LOCK.read_text())
    if all(lock.get(package, version) == version for package, version in outcome.versions.items()):
        return Outcome(outcome.versions, "not run, these are the locked versions", is_good=True)
    started = time.monotonic()
    done = called(python_of(name), "-m", "pytest", *TESTS)
    lines = done.stdout.splitlines()
    if done.returncode:
        print(done.stdout[max(0, done.stdout.find("\n=")) :])
    closing = lines[-1].strip("= ") if lines else "no output"
    failures = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    print(f"{name}: {closing} ({time.monotonic() - started:.0f} s)", flush=True)
    return Outcome(outcome.versions, closing, done.returncode == 0, failures)


def table(lock: dict[str, str], outcomes: dict[str, Outcome]) -> str:
    """Return the packages whose version is not the locked one in each run, with the outcomes below."""
    rows = [("package", "locked", *outcomes)]
    for package, version in sorted(lock.items()):
        others = [outcome.versions.get(package, "-") for outcome in outcomes.values()]
        # Some are for other systems than this one and in neither.
        if any(other not in {version, "-"} for other in others) or len(set(others)) > 1:
            rows.append((package, version, *("same" if other == version else other for other in others)))
    rows.append(("tests", "below", *("pass" if outcome.is_good else "FAIL" for outcome in outcomes.values())))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> int:
    """Try both, tell what differs, and return 1 where the floors do not hold."""
    outcomes = {name: Outcome(**json.loads(record_of(name).read_text())) for name in INSTALLS}
    # At the same time, as their waits do.
    with ThreadPoolExecutor(len(INSTALLS)) as pool:
        outcomes = dict(zip(outcomes, pool.map(tried, outcomes, outcomes.values()), strict=True))
    print("\nVersions that are not the locked ones, and the unit tests with them:\n")
    print(table(locked(LOCK.read_text()), outcomes))
    for name, outcome in outcomes.items():
        print(f"\n{name}: {outcome.closing}", *outcome.failures, sep="\n  ")
    if not outcomes["newest"].is_good:
        print("\nWARNING: the newest versions break something. What is locked is not touched by that.")
    if not outcomes["floors"].is_good:
        print("\nThe lowest versions that pyproject.toml allows do not pass: raise them there, then requirements/lock.")
    return 0 if outcomes["floors"].is_good else 1


if __name__ == "__main__":
    sys.exit(install() if sys.argv[1:] == ["install"] else main())
