"""`ftpsd install`, on this machine's own directories, with changes that go into memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ftpsd.cli.installing.machine_steps import HIDDEN
from ftpsd.cli.installing.server_name import is_name
from tests.tools import ROOT, missing, require_tool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")

# $1 is an empty folder. A package that is installed is not there, nor what systemd would be told.
SCRIPT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
for place in etc usr/local/lib usr/lib/systemd/system usr/lib/sysusers.d usr/lib/tmpfiles.d; do
    mkdir -p "$1/$place/upper" "$1/$place/work"
    mount -t overlay overlay -o lowerdir="/$place",upperdir="$1/$place/upper",workdir="$1/$place/work" "/$place"
done
mount -t tmpfs tmpfs /srv
mount -t tmpfs tmpfs /run
mkdir "$1/lib"
mount --bind "$1/lib" /var/lib
rm -rf /etc/ftpsd
find /etc/systemd /etc/*.d /usr/local/lib/systemd /usr/local/lib/*.d /usr/lib/systemd/system /usr/lib/*.d \
    -name 'ftpsd*' -delete 2>/dev/null || true
sed -i '/^ftpsd:/d' /etc/passwd /etc/group /etc/shadow /etc/gshadow
exec "$2" -m tests.e2e.operator.installing
"""
PLAN = ["install", "--host", "ftp.example.com", "--user", "alice", "--password-stdin"]
APPLY = ["install", "--apply", *PLAN[1:]]
UNIT = "/usr/local/lib/systemd/system/ftpsd.socket"


def told(folder: Path, *steps: str | list[str]) -> list[tuple[int, list[str]]]:
    """Run *steps* in one fresh machine; return exit code and lines of each."""
    for tool in ("unshare", "systemd-sysusers", "systemd-tmpfiles"):
        require_tool(tool)
    if os.geteuid() != 0:
        missing("directories of the machine can be replaced by root alone")
    if any(Path(sys.prefix).is_relative_to(place) for place in HIDDEN):
        missing(f"{sys.prefix} is hidden from the daemon")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", SCRIPT, "sh", folder, sys.executable],
        input=json.dumps(steps),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [(code, output.splitlines()) for code, output in json.loads(done.stdout)]


def of(lines: list[str], first: str) -> list[str]:
    """Return what *lines* say behind the word *first*."""
    return [line.removeprefix(first).strip() for line in lines if line.startswith(f"{first} ")]


def test_what_is_printed_is_what_is_done(tmp_path: Path) -> None:
    """Nothing by the plan, all by --apply, nothing again; what an operator wrote stays; it goes on where it failed."""
    files = "find /etc/ftpsd /usr/local/lib/systemd /srv -type f -exec sha256sum {} + 2>/dev/null"
    block = "mkdir -p /etc/ftpsd && rmdir /etc/ftpsd && touch /etc/ftpsd"
    plan, nothing, _, failed, _, made, first, again, same, _, rest, kept, users = told(
        tmp_path,
        PLAN,
        "ls /etc/ftpsd /srv/ftpsd; getent passwd ftpsd",
        block,
        APPLY,
        "rm /etc/ftpsd",
        APPLY,
        files,
        APPLY,
        files,
        f"echo mine >{UNIT}; echo '# mine' >>/etc/ftpsd/ftpsd.yaml; rm /etc/ftpsd/users.yaml",
        APPLY,
        f"cat {UNIT}; cd /etc/ftpsd; tail -1 ftpsd.yaml; stat -c '%a %U:%G' users.yaml tls/privkey.pem",
        ["user", "list"],
    )
    wanted = of(plan[1], "missing")
    assert (plan[0], of(plan[1], "there")) == (0, [])
    assert plan[1][-1] == f"next: ftpsd {' '.join(APPLY)}"
    assert nothing[0] != 0
    assert not any(line.startswith("ftpsd:") for line in nothing[1])
    assert failed[0] == 1
    (trouble,) = of(failed[1], "failed")
    assert trouble.startswith("directories ")
    done = of(failed[1], "made")
    assert made[0] == 0, made[1]
    # Some of the directories were made before the one failed.
    whole = [trouble.partition(":")[0] if line.startswith("directories ") else line for line in of(made[1], "made")]
    assert [*done, *whole] == wanted
    assert of(again[1], "made") == of(again[1], "missing") == []
    assert first == same
    assert of(rest[1], "made") == ["/etc/ftpsd/users.yaml", wanted[-1]]
    assert any(line.startswith(f"{UNIT}: differs") for line in of(rest[1], "there"))
    assert kept[1] == ["mine", "# mine", "640 root:ftpsd", "640 root:ftpsd"]
    assert "alice" in " ".join(users[1])


def test_what_is_wrong_is_said_before_anything_is_done(tmp_path: Path) -> None:
    """Without root, with half a pair, files that are none, a name that no certificate has; with a sentence."""
    pem = f"{tmp_path}/none.pem"
    wrong: tuple[tuple[list[str], str], ...] = (
        (["nobody", *APPLY], "--apply needs root."),
        (["install", "--apply", "--certificate", pem], "--certificate and --private-key belong together."),
        (["install", "--apply", "--certificate", pem, "--private-key", pem], "none.pem"),
        (["install", "--apply", "--host", "bücher.example"], "--host: neither an address nor a name"),
        (["install", "--apply", "--password-stdin"], "--password-stdin is for the first user"),
        (["install", "--apply", "--user", "../alice"], "--user: such a name cannot be that of a home."),
    )
    *ends, (_, left) = told(
        tmp_path, *(words for words, _ in wrong), "ls /etc/ftpsd /usr/local/lib/systemd/system/ftpsd*"
    )
    for (words, sentence), (code, lines) in zip(wrong, ends, strict=True):
        assert (code, "Traceback" in "".join(lines)) == (2, False), (words, lines)
        assert sentence in " ".join(lines), (words, lines)
    assert all("cannot access" in line for line in left)


def test_names_of_servers() -> None:
    """Addresses of both kinds, and DNS names in ASCII."""
    names = ["ftp.example.com", "localhost", "xn--bcher-kva.example", "my_host", "192.0.2.1", "2001:db8::1", "a" * 63]
    assert [name for name in names if not is_name(name)] == []
    none = ["", "bücher.example", "a b", "-a.example", "a..b", "a" * 64, "x." * 130 + "x", "ftp.example.com:21", "*.a"]
    assert [name for name in none if is_name(name)] == []
