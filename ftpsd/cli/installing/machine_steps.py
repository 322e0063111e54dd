"""
The steps of an installation under systemd. Each says what is there already, and makes only what is missing.

Nothing that exists is changed: an operator may have written it. Changes of the units belong into drop-ins, so a unit
file that differs is reported with the command that replaces it.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from errno import ENOTDIR
from pathlib import Path
from typing import Final

ACCOUNT: Final = "ftpsd"
ETC: Final = Path("/etc/ftpsd")
# systemctl cannot mask a unit in /etc/systemd/system, so the units go elsewhere. A package has its own in /usr/lib.
LOCAL: Final = Path("/usr/local/lib")
PACKAGED: Final = Path("/usr/lib")
# Where the unit's ProtectHome= hides the program from the daemon.
HIDDEN: Final = (Path("/home"), Path("/root"), Path("/run/user"))
UNITS: Final = ("ftpsd.service", "ftpsd.socket", "ftpsd-implicit.socket", "ftpsd-pam.service", "ftpsd-pam.socket")
DIRECTORIES: Final = (Path("/srv/ftpsd"), Path("/var/lib/ftpsd"), ETC, ETC / "tls")
USERS_TEXT: Final = """\
# The users of ftpsd: ftpsd user add|password|remove|list, and ftpsd access for what they may do.
# docs/configuration.md explains roles, groups and every key.
users: {}
"""


@dataclass(frozen=True, slots=True)
class Step:
    """*what* is needed; *there* says that it exists, "" that it does not, and then *make* makes it."""

    what: str
    there: str
    make: Callable[[], object]
    remark: str = ""


def share() -> Path:
    """Return the folder with the units and examples that belong to this program."""
    # An editable installation has the files of the checkout; what was copied at its installation may be old.
    checkout = Path(__file__).parents[3]
    return checkout if (checkout / "systemd").is_dir() else Path(sys.prefix) / "share" / "ftpsd"


def steps_of_machine(own: Path) -> Iterator[Step]:
    """Yield the steps up to the directories; *own* is `share()`."""
    for unit in UNITS:
        yield _file_step(own / "systemd" / unit, "systemd/system")
    for kind in ("sysusers.d", "tmpfiles.d"):
        yield _file_step(own / "systemd" / kind / "ftpsd.conf", kind)
    exists = f"account {ACCOUNT}" if _has_account() else ""
    yield Step(f"account {ACCOUNT}", exists, lambda: _run("systemd-sysusers", "ftpsd.conf"))
    missing = [str(place) for place in DIRECTORIES if not place.is_dir()]
    what = f"directories {', '.join(missing or map(str, DIRECTORIES))}"
    yield Step(what, "" if missing else what, _make_directories)


def text_step(path: Path, text: Callable[[], bytes], what: str = "") -> Step:
    """Return the step that writes *path*, which the daemon reads, and no other account of the machine."""
    named = f"{path}{what}"
    return Step(named, str(path) if path.exists() else "", lambda: write_for_daemon(path, text()))


def write_for_daemon(path: Path, data: bytes) -> None:
    """Write the new file *path*, 0640 root:ftpsd from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        os.fchown(descriptor, 0, grp.getgrnam(ACCOUNT).gr_gid)
        file.write(data)
        os.fchmod(descriptor, 0o640)


def reload_units() -> None:
    """Have systemd read its units; where it does not run, as in the making of an image, there is nothing to do."""
    if Path("/run/systemd/system").is_dir():
        _run("systemctl", "daemon-reload")


def _file_step(source: Path, kind: str) -> Step:
    """Return the step that installs the file *source* into the directory of its *kind*."""
    target = LOCAL / kind / source.name
    text = source.read_text().replace("/opt/ftpsd/", f"{sys.prefix}/")
    for place in (Path("/etc") / kind / source.name, target, PACKAGED / kind / source.name):
        if place.exists():
            differs = place.read_text() != text
            remark = f"differs from this version's; to take that: cp {source} {place}" if differs else ""
            return Step(str(target), str(place), lambda: None, remark)

    def make() -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o644)

    return Step(str(target), "", make)


def _make_directories() -> None:
    _run("systemd-tmpfiles", "--create", "ftpsd.conf")
    for place in DIRECTORIES:
        if not place.is_dir():
            # It ends with 0 where something else is in the way.
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(place))


def _has_account() -> bool:
    try:
        pwd.getpwnam(ACCOUNT)
        grp.getgrnam(ACCOUNT)
    except KeyError:
        return False
    return True


def _run(program: str, *arguments: str) -> None:
    found = shutil.which(program)
    if found is None:
        raise FileNotFoundError(f"{program} is not installed; it comes with systemd")
    subprocess.run([found, *arguments], check=True)
