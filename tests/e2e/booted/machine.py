"""
A Debian that systemd has booted: systemd-nspawn over this machine's own root, or that of another release, whose changes
go into memory.

Everything of the host's own is hidden: its enabled services, /opt, /usr/local, /srv, /home, /root. It has a network of
its own, with loopback alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools import missing, require_tool

# In a mount namespace of its own. $1 is an empty folder, $2 what becomes /root of the machine, $3 what is hidden of the
# root $4.
SCRIPT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir upper work tree
cp -a "$2" files
mount -t overlay overlay -o lowerdir="$4",upperdir=upper,workdir=work tree
mount -t tmpfs tmpfs /run
rm -rf tree/etc/rc?.d tree/etc/init.d tree/etc/systemd/system tree/var/log/journal tree/usr/sbin/policy-rc.d
mkdir -p tree/etc/systemd/system
rm -f tree/var/lib/man-db/auto-update
: >tree/etc/machine-id
sed -i '/^ftpsd:/d' tree/etc/passwd tree/etc/group tree/etc/shadow tree/etc/gshadow
# apt reads no lists of what the network has.
for place in root home opt srv mnt tmp usr/local var/tmp var/backups var/lib/apt/lists $3; do
    mkdir -p "tree/$place"
    mount -t tmpfs -o mode=0755 tmpfs "tree/$place"
done
chmod 1777 tree/tmp tree/var/tmp
mkdir tree/usr/local/bin
cp -a files/. tree/root/
exec systemd-nspawn --register=no --keep-unit --private-network --quiet --console=pipe -b -D tree
"""
# A tool of the host's is not to be found where the machine has none.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
# Seconds; an upgrade drains, and the machine may have other work.
PATIENCE = 400.0
# Each look starts programs.
LOOK = 0.2


class Machine:
    """The machine whose process 1 is *leader* here."""

    def __init__(self, leader: int) -> None:
        self.leader = leader

    def try_to(self, script: str, where: str = "/root") -> subprocess.CompletedProcess[str]:
        """Run the lines *script* as root in the folder *where*, up to the first that fails; return how that ended."""
        command = ["nsenter", "-t", str(self.leader), "-a", "bash", "-ec", f"cd {where}\n{script}"]
        return subprocess.run(
            command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
        )

    def do(self, script: str, where: str = "/root") -> str:
        """Run the lines *script* and return what they print; fail the test where one of them fails."""
        done = self.try_to(script, where)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def wait_for(self, script: str) -> None:
        """Run *script* until it succeeds."""
        end = time.monotonic() + PATIENCE
        while (last := self.try_to(script)).returncode != 0:
            assert time.monotonic() < end, f"{script}\n{last.stdout}{last.stderr}"
            time.sleep(LOOK)


@contextmanager
def booted(folder: Path, files: Path, root: Path) -> Iterator[Machine]:
    """A machine that is up, with *files* in its /root, over *root*; *folder* is empty."""
    for tool in ("systemd-nspawn", "unshare", "nsenter"):
        require_tool(tool)
    if os.geteuid() != 0:
        missing("a booted machine needs root")
    # Not Debian's: folders at the host's root, such as that of this checkout, and the Python of the tests.
    ours = {Path(each).resolve().parts[1] for each in (__file__, sys.prefix, sys.base_prefix)}
    hidden = ours - {"usr", "root", "home", "opt", "srv", "mnt", "tmp", "var"}
    with subprocess.Popen(
        ["unshare", "-m", "sh", "-c", SCRIPT, "sh", folder, files, " ".join(sorted(hidden)), root],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield _up(process)
        finally:
            for child in _children(process.pid):
                os.kill(child, signal.SIGKILL)
            process.kill()


def _up(process: subprocess.Popen[str]) -> Machine:
    """Return the machine of *process* when it has booted."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            missing(f"no machine can be booted here: {process.stdout.read() if process.stdout else ''}")
        for child in _children(process.pid):
            machine = Machine(child)
            # Before nspawn is ready its child is not in the machine's own namespaces yet.
            if _is_inside(child) and machine.try_to("systemctl is-system-running --wait", "/").stdout.strip():
                return machine
        time.sleep(LOOK)
    raise AssertionError("the machine has not come up")


def _is_inside(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "systemd"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
