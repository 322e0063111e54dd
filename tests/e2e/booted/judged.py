"""The package, judged by lintian: nothing is wrong but what the package's own overrides give a reason for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.tools import require_tool


def judge(package: Path, folder: Path, *, wholly: bool) -> None:
    """
    Fail the test where lintian has an error or a warning about *package*; *folder* is a new one.

    Without *wholly* the locked packages of others are left out, and compiled files but those of one folder: they are
    most of its files, and of its time.
    """
    lintian = require_tool("lintian")
    if not wholly:
        _run("dpkg-deb", "-R", package, folder)
        for each in folder.glob("opt/ftpsd/lib/python3*/site-packages/*"):
            if not each.name.startswith("ftpsd"):
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        for each in folder.glob("opt/ftpsd/lib/python3*/site-packages/ftpsd/*/**/__pycache__"):
            shutil.rmtree(each)
        sums = folder / "DEBIAN" / "md5sums"
        kept = [line for line in sums.read_text().splitlines() if (folder / line.split(maxsplit=1)[1]).exists()]
        sums.write_text("".join(f"{line}\n" for line in kept))
        package = folder.with_suffix(".deb")
        _run("dpkg-deb", "-Zgzip", "-z1", "-b", folder, package)
    found = _run(lintian, "--allow-root", "--fail-on=none", package).splitlines()
    # Overrides of packages that were left out are not there.
    needless = () if wholly else ("W: ftpsd: mismatched-override ",)
    assert [line for line in found if line.startswith(("E: ", "W: ")) and not line.startswith(needless)] == []


def _run(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
