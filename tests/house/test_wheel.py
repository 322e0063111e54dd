"""The wheel: what is in it, and that it works where the project's own folder is not on the path."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.tools import ROOT

pytestmark = pytest.mark.slow

TWISTD = "from twisted.scripts.twistd import run; run()"


def run(*arguments: str | Path, where: Path) -> str:
    """Run a program in *where*, away from the project; return what it printed, and fail with that when it fails."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    finished = subprocess.run(arguments, cwd=where, env=environ, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the project, built with what is installed: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", f"--outdir={folder}", ROOT, where=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh virtualenv with the wheel; its dependencies are read from where the tests run."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", where=folder)
    python = folder / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--no-index", "--no-deps", wheel, where=folder)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = Path(run(python, "-c", ask, where=folder).strip())
    # A path in a .pth file is only added: the editable install that may be there is not followed to the project.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def test_the_wheel_holds_the_daemon_and_its_plugin_only(wheel: Path) -> None:
    """No tests, no benchmarks, and no __init__.py that would hide Twisted."""
    names = zipfile.ZipFile(wheel).namelist()
    modules = {name for name in names if name.endswith(".py") and not name.startswith("ftpsd/")}
    assert modules == {"twisted/plugins/ftpsd_plugin.py"}


@pytest.mark.parametrize(
    "name",
    [
        "etc/ftpsd.yaml",
        "etc/users.yaml",
        "etc/fail2ban/filter.d/ftpsd.conf",
        "etc/nftables/ftpsd.nft",
        "systemd/ftpsd.service",
        "systemd/sysusers.d/ftpsd.conf",
    ],
)
def test_the_wheel_brings_what_operators_copy(wheel: Path, name: str) -> None:
    """Configuration and units are installed below share/ftpsd."""
    assert any(entry.endswith(f".data/data/share/ftpsd/{name}") for entry in zipfile.ZipFile(wheel).namelist())


def test_the_program_runs_from_the_wheel(installed: Path) -> None:
    """`ftpsd --help` of the installed program names its commands."""
    assert "serve" in run(installed / "ftpsd", "--help", where=installed)


def test_the_package_comes_from_the_wheel(installed: Path) -> None:
    """These tests run the installed copy."""
    where = run(installed / "python", "-c", "import ftpsd; print(ftpsd.__file__)", where=installed)
    assert where.startswith(str(installed.parent))


def test_twistd_lists_the_daemon(installed: Path) -> None:
    """`twistd --help` lists ftpsd among its commands."""
    shown = run(installed / "python", "-c", TWISTD, "--help", where=installed)
    assert any(line.split()[:1] == ["ftpsd"] for line in shown.splitlines())
