"""
"In a container" of docs/operations.md, followed: the image is built, and the daemon in it does what it does elsewhere.

On request: FTPSD_TESTS_LARGE=1. No registry is asked: the image that packaging/Containerfile begins with is a Debian by
debootstrap, under its name.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.booted.page import shell_blocks
from tests.e2e.booted.releases import fetched
from tests.tools import ROOT, require_tool

BASE = "docker.io/library/python:3.11-slim-bookworm"
KEPT = ROOT / "build" / "container"
NAME = "ftpsd"
# A machine may have cgroups of both versions, which the runtime refuses.
ALONE = """
if [ -d /sys/fs/cgroup/unified ]; then umount -l -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; fi
exec bash -ec "$1"
"""
STORAGE = """
[storage]
driver = "vfs"
graphroot = "{kept}/graph"
runroot = "{kept}/run"
"""
SETTINGS = """
[containers]
cgroups = "disabled"
default_ulimits = ["nproc=4096:4096", "nofile={files}:{files}"]
[engine]
cgroup_manager = "cgroupfs"
"""
CURL = (
    "curl -sS --cacert {etc}/tls/fullchain.pem --resolve ftp.example.com:{port}:127.0.0.1 -u alice:secret-of-alice"
    " {more} {scheme}://ftp.example.com/"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("FTPSD_TESTS_LARGE") != "1", reason="builds an image: FTPSD_TESTS_LARGE=1"),
]


class Podman:
    """Commands for containers, whose mounts are in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        KEPT.mkdir(parents=True, exist_ok=True)
        for name, text in (("storage.conf", STORAGE), ("containers.conf", SETTINGS)):
            (KEPT / name).write_text(text.format(kept=KEPT, files=resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        self._environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(KEPT / "storage.conf"),
            "CONTAINERS_CONF": str(KEPT / "containers.conf"),
            "BUILDAH_ISOLATION": "chroot",
        }

    def try_to(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run *script*, and return how that ended."""
        return subprocess.run(
            ["unshare", "-m", "--propagation", "private", "sh", "-ec", ALONE, "sh", script],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=1800,
        )

    def do(self, script: str) -> str:
        """Run *script*, and return what it prints; fail the test where that fails."""
        done = self.try_to(script)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def follow(self, block: str) -> str:
        """Run a *block* of the page: with our folders, no port of this machine's, and no registry."""
        block = re.sub(r"(?<= )/(etc|srv)/ftpsd(?=[: \n]|/tls)", rf"{self.folder}/\1", block)
        block = re.sub(r"( -p \S+)+", " --network none", block)
        # Where a limit is named the others of the file above do not hold, and nobody may raise them here.
        block = block.replace(" --ulimit nofile", " --ulimit nproc=4096:4096 --ulimit nofile")
        block = block.replace("password-file", str(self.folder / "password-file"))
        own = "".join(f" -v {path}:{path}:ro" for path in ("/etc/pip.conf", "/etc/ssl/certs") if Path(path).exists())
        return self.do(block.replace("podman build", f"podman build --pull-never{own}"))

    def within(self, script: str) -> str:
        """Run *script* in the network of the container."""
        pid = self.do(f"podman inspect {NAME} --format '{{{{.State.Pid}}}}'").strip()
        return self.do(f"nsenter -t {pid} -n {script}")


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Podman]:
    """Podman with the image that ours begins with; no container of ours is left behind."""
    for tool in ("podman", "buildah", "unshare"):
        require_tool(tool)
    podman = Podman(tmp_path)
    podman.do(f"podman rm -f {NAME} >/dev/null 2>&1 || true")
    if podman.try_to(f"podman image exists {BASE}").returncode != 0:
        podman.do(
            f"tar -C {fetched('bookworm')} -c . | podman import -q - {NAME}-base:1\n"
            f"made=$(buildah from --pull-never {NAME}-base:1)\n"
            "buildah run $made -- ln -s python3 /usr/bin/python\n"
            f"buildah commit -q --rm $made {BASE}"
        )
    yield podman
    podman.do(f"podman rm -f {NAME} >/dev/null; podman volume rm -f ftpsd-state >/dev/null")


def test_the_page_is_followed_in_a_container(podman: Podman) -> None:
    """It serves as nobody on a read-only root, is healthy, reaps, reloads, and ends in order on SIGTERM."""
    build, add, run = shell_blocks()["In a container"]
    podman.follow(build)
    etc = podman.folder / "etc"
    (podman.folder / "password-file").write_text("secret-of-alice")
    (etc / "ftpsd.yaml").write_text("passive: {ports: 3000-3050}\n")
    (etc / "users.yaml").write_text("users: {}\n")
    podman.do(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=ftp.example.com"
        f" -addext subjectAltName=DNS:ftp.example.com -keyout {etc}/tls/privkey.pem -out {etc}/tls/fullchain.pem\n"
        f"chmod 0640 {etc}/*.yaml {etc}/tls/*; chgrp 2121 {etc}/*.yaml {etc}/tls/*"
    )
    podman.follow(add)
    podman.follow(run.replace("podman exec ", f"until podman exec {NAME} ftpsd status; do :; done; podman exec "))
    podman.do(f"podman healthcheck run {NAME}")
    transfer(podman)
    look(podman)
    end(podman)


def transfer(podman: Podman) -> None:
    """Over explicit and implicit TLS."""
    etc = podman.folder / "etc"
    for port, scheme, more in ((21, "ftp", "--ssl-reqd"), (990, "ftps", "")):
        words = f"{more} -T {etc}/ftpsd.yaml"
        podman.within(CURL.format(etc=etc, port=port, scheme=scheme, more=words))
        assert "ftpsd.yaml" in podman.within(CURL.format(etc=etc, port=port, scheme=scheme, more=more))
    kept = (podman.folder / "srv" / "alice" / "ftpsd.yaml").stat()
    assert (kept.st_uid, kept.st_gid, kept.st_mode & 0o777) == (2121, 2121, 0o600)


def look(podman: Podman) -> None:
    """Nothing can be written but the volumes, no right is left, and what lost its parent is reaped."""
    inside = f"podman exec {NAME} sh -c"
    for place in ("/x", "/opt/ftpsd/x", "/etc/ftpsd/x"):
        assert podman.try_to(f"{inside} 'touch {place}'").returncode != 0
    facts = podman.do(f"{inside} 'cat /proc/1/cmdline /proc/2/status'")
    assert facts.startswith("/usr/bin/tini\0")
    assert re.search(r"^Uid:\s+2121\s+2121\s+2121\s+2121$", facts, flags=re.MULTILINE)
    assert re.findall(r"^Cap(?:Eff|Prm|Bnd):\s+(\w+)$", facts, flags=re.MULTILINE) == ["0" * 16] * 3
    # The parent ends before its child, which becomes process 1's, and ends then.
    left = (
        'orphan=$(sh -c "sleep 0.3 >/dev/null & echo \\$!")\n'
        "until [ $(cut -d \\  -f 4 /proc/$orphan/stat) = 1 ]; do :; done\n"
        "while [ -e /proc/$orphan ]; do :; done"
    )
    podman.do(f"timeout 60 podman exec {NAME} timeout 50 sh -c '{left}'")
    podman.do(f"podman exec {NAME} ftpsd reload")
    (podman.folder / "etc" / "ftpsd.yaml").write_text("passive: {ports: none}\n")
    refused = podman.try_to(f"podman exec {NAME} ftpsd reload")
    assert refused.returncode != 0
    assert "passive.ports" in refused.stdout + refused.stderr


def end(podman: Podman) -> None:
    """SIGTERM reaches the daemon, which ends by itself."""
    podman.do(f"podman stop {NAME}")
    assert podman.do(f"podman inspect {NAME} --format '{{{{.State.ExitCode}}}}'").strip() == "0"
    assert '"event":"stopped"' in podman.do(f"podman logs {NAME}")
