"""docs/operations.md, followed literally in a booted Debian: what it has people type works, and does what it says."""

from __future__ import annotations

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.booted.judged import judge
from tests.e2e.booted.machine import Machine, booted
from tests.e2e.booted.page import shell_blocks
from tests.e2e.booted.releases import OWN, build_packages, tree
from tests.tools import ROOT, require_tool

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")]

CURL = (
    "curl -sS --cacert /etc/ftpsd/tls/fullchain.pem --resolve ftp.example.com:21:127.0.0.1"
    " --resolve ftp.example.com:990:127.0.0.1 -u alice:secret-of-alice"
)
CONFIG = "/etc/ftpsd/ftpsd.yaml"
EXPLICIT, IMPLICIT = "--ssl-reqd ftp://ftp.example.com", "ftps://ftp.example.com"
# The checkout's files that an installation out of it reads.
CHECKOUT = ("etc", "systemd", "requirements", "docs")

# Sections whose blocks are followed here, and those that other tests follow, or that need what a machine alone has not.
FOLLOWED = {
    "Install",
    "From a checkout",
    "The units and their ports",
    "Users of the machine (PAM)",
    "Certificates",
    "Upgrade, roll back, uninstall",
    "Hand files to local programs",
}
ELSEWHERE = {
    "Before a change": "unit/cli/test_plan.py",
    "In a container": "e2e/booted/test_container.py",
    "From another server": "e2e/operator/test_migrated.py",
    "Try a partner's client": "e2e/operator/test_preflight.py",
    "From outside": "e2e/service/test_doctor_outside.py",
    "Is it all right? The doctor": "unit/service/doctor",
    "Live sessions": "e2e/operator/test_callers.py",
    "In the firewall": "e2e/security/test_fail2ban.py",
    "Restart without an outage": "e2e/upgrades/test_upgrade.py",
    "Review of access": "unit/cli/test_access_review.py",
    "Backup": "e2e/partners/test_backups.py",
    "Man pages and completion": "unit/cli/test_manual.py",
    "Logs": "unit/cli/test_audit_log.py",
    "The log as evidence": "unit/cli/test_audit_log.py",
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two packages, the older and the newer, each in a folder, and the checkout's files."""
    require_tool("systemd-nspawn")
    require_tool("dpkg-deb")
    folder = tmp_path_factory.mktemp("packages")
    build_packages(tree(), folder)
    checkout = folder / "checkout"
    for name in CHECKOUT:
        shutil.copytree(ROOT / name, checkout / name)
    return folder


def test_every_block_is_followed_somewhere() -> None:
    """A section with shell blocks that is new on the page is followed here, or named with where else it is."""
    assert set(shell_blocks()) == FOLLOWED | ELSEWHERE.keys()
    assert [place for place in ELSEWHERE.values() if not (ROOT / "tests" / place).exists()] == []


def test_the_page_is_followed(packages: Path, tmp_path: Path) -> None:
    """From the installation to the removal, in one machine; lintian finds nothing in the package."""
    (package,) = (packages / "1").glob("*.deb")
    (tmp_path / "machine").mkdir()
    with ThreadPoolExecutor(1) as beside, booted(tmp_path / "machine", packages, tree()) as machine:
        judged = beside.submit(judge, package, tmp_path / "judged", wholly=tree() != OWN)
        blocks = shell_blocks()
        machine.do("for folder in . 1 2 checkout; do echo secret-of-alice >$folder/password-file; done")
        install(machine, blocks["Install"])
        transfer(machine)
        masked, added = blocks["The units and their ports"]
        add_user(machine, added)
        reload(machine)
        renew(machine, blocks["Certificates"][0])
        hand_over(machine, blocks["Hand files to local programs"])
        ask_pam(machine, blocks["Users of the machine (PAM)"][0])
        upgrade, back, remove = blocks["Upgrade, roll back, uninstall"]
        change_versions(machine, upgrade, back)
        close_port(machine, masked)
        stop(machine)
        look(machine)
        uninstall(machine, remove, blocks["From a checkout"])
        judged.result()


def install(machine: Machine, blocks: list[str]) -> None:
    """The package, the first user and a certificate; a second run of `ftpsd install` makes nothing."""
    block, upload = blocks
    told = machine.do(block, "/root/1")
    assert "Active: active (running)" in told
    assert 'Status: "serving explicit on port 21, implicit on port 990"' in told
    assert machine.do("systemctl is-enabled ftpsd.service ftpsd.socket").split() == ["enabled", "enabled"]
    before = machine.do("find /etc/ftpsd /usr/local -type f -exec sha256sum {} +")
    again = machine.do("ftpsd install --apply --user alice").splitlines()
    assert [line for line in again if not line.startswith(("there ", "next: "))] == []
    assert machine.do("find /etc/ftpsd /usr/local -type f -exec sha256sum {} +") == before
    modes = machine.do("stat -c '%a %U %G %n' /etc/ftpsd/*.yaml /etc/ftpsd/tls/* /srv/ftpsd/alice")
    assert {line.rpartition(" ")[0] for line in modes.splitlines()} == {"640 root ftpsd", "700 ftpsd ftpsd"}
    assert " hostname" in machine.do(upload.replace("-u alice ", "-u alice:secret-of-alice "))


def transfer(machine: Machine) -> None:
    """Files go up and are listed over explicit and implicit TLS; no port opens without TLS."""
    for number, scheme in enumerate((EXPLICIT, IMPLICIT)):
        machine.do(f"echo content >/root/{number}.txt; {CURL} -T /root/{number}.txt {scheme}/")
        assert f"{number}.txt" in machine.do(f"{CURL} --list-only {scheme}/")
    assert machine.do("stat -c '%a %U' /srv/ftpsd/alice/0.txt") == "600 ftpsd\n"
    assert machine.try_to(CURL.replace(":secret-of-alice", ":wrong") + f" {EXPLICIT}/").returncode == 67
    lines = machine.do("journalctl -u ftpsd -o cat").splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert {"logged-in", "file-stored", "login-refused"} <= {event["event"] for event in events}
    metrics = machine.do("curl -sS http://127.0.0.1:9121/metrics")
    assert 'event="logged-in"' in metrics
    assert machine.do("curl -sS -o /dev/null -w '%{http_code}' http://127.0.0.1:9121/readyz") == "200"


def add_user(machine: Machine, block: str) -> None:
    """A second user logs in."""
    machine.do(block)
    machine.do(CURL.replace("alice:", "bob:") + f" {EXPLICIT}/")


def reload(machine: Machine) -> None:
    """A configuration that is wrong fails `systemctl reload`, with its reason in the status and in the log."""
    machine.do("systemctl reload ftpsd")
    machine.do(f"echo 'drain_timeout: soon' >>{CONFIG}")
    assert machine.try_to("systemctl reload ftpsd").returncode != 0
    assert "the last reload was refused" in machine.do("systemctl show -P StatusText ftpsd")
    assert "drain_timeout" in machine.do("journalctl -u ftpsd -o cat")
    assert "ftpsd_config_last_reload_successful 0.0" in machine.do("curl -sS http://127.0.0.1:9121/metrics")
    machine.do(f"{CURL} {EXPLICIT}/")
    machine.do(f"sed -i '/^drain_timeout: soon$/d' {CONFIG}; systemctl reload ftpsd")
    assert "refused" not in machine.do("systemctl show -P StatusText ftpsd")


def renew(machine: Machine, block: str) -> None:
    """A new certificate is what the next client gets, without a reload; the status tells of one that is refused."""
    machine.do("echo none >/etc/ftpsd/tls/fullchain.pem")
    machine.wait_for("systemctl show -P StatusText ftpsd | grep 'the new certificates are not taken'")
    machine.do(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=ftp.example.com"
        " -addext subjectAltName=DNS:ftp.example.com -keyout privkey.pem -out fullchain.pem 2>/dev/null"
    )
    machine.do(block)
    machine.wait_for(f"{CURL} {EXPLICIT}/")
    assert "not taken" not in machine.do("systemctl show -P StatusText ftpsd")


def hand_over(machine: Machine, blocks: list[str]) -> None:
    """The program of another account reads what clients upload, and deletes it where that is its home, too."""
    group, acl = blocks
    machine.do("useradd --system billing; useradd --system stranger")
    machine.do(group)
    machine.do("echo 'uploads: {umask: \"007\"}' >>/etc/ftpsd/ftpsd.yaml; systemctl reload ftpsd")
    machine.do(acl)
    bob = CURL.replace("alice:", "bob:")
    machine.do(f"{CURL} --ftp-create-dirs -T /root/0.txt {EXPLICIT}/new/order.txt; {bob} -T /root/0.txt {EXPLICIT}/")
    assert (
        machine.do("setpriv --reuid billing --regid billing --init-groups cat /srv/ftpsd/alice/new/order.txt")
        == "content\n"
    )
    assert machine.do("setpriv --reuid billing --regid billing --init-groups cat /srv/ftpsd/bob/0.txt") == "content\n"
    machine.do("setpriv --reuid billing --regid billing --init-groups rm /srv/ftpsd/alice/new/order.txt")
    for refused in ("billing rm -f /srv/ftpsd/bob/0.txt", "stranger cat /srv/ftpsd/bob/0.txt"):
        account, _, command = refused.partition(" ")
        whole = f"setpriv --reuid {account} --regid {account} --init-groups {command}"
        assert machine.try_to(whole).returncode == 1


def ask_pam(machine: Machine, block: str) -> None:
    """A user of the machine logs in by PAM, through the helper that the first question starts."""
    machine.do("mkdir -p etc/pam.d; cp /root/checkout/etc/pam.d/ftpsd etc/pam.d/")
    machine.do(block)
    machine.do("useradd --uid 4711 carol; echo carol:secret-of-alice | chpasswd")
    machine.do("install -d -o ftpsd -g ftpsd -m 0700 /srv/ftpsd/carol")
    machine.do(
        "echo 'accounts: [file, pam]' >>/etc/ftpsd/ftpsd.yaml\n"
        "echo 'pam: {homes: [/srv/ftpsd], home: \"/srv/ftpsd/{user}\", default_role: all}' >>/etc/ftpsd/ftpsd.yaml\n"
        "echo 'roles: {all: {rules: [{path: /**, allow: all}]}}' >>/etc/ftpsd/users.yaml\n"
        "systemctl reload ftpsd"
    )
    machine.do(CURL.replace("alice:", "carol:") + f" -T /root/0.txt {EXPLICIT}/")
    assert machine.do("systemctl is-active ftpsd-pam.service") == "active\n"


def change_versions(machine: Machine, upgrade: str, back: str) -> None:
    """
    The newer package, then the older again: the daemon runs each, and files, users and configuration stay.

    The unit is not restarted: its run is the same, its main process another.
    """
    main_pid, run = "systemctl show -P MainPID ftpsd", "systemctl show -P InvocationID ftpsd"
    for block, where, release in ((upgrade, "/root/2", "2"), (back, "/root/1", "1")):
        before = machine.do(f"{main_pid}; {run}; sha256sum /etc/ftpsd/*.yaml").splitlines()
        machine.do(block, where)
        after = machine.do(f"{main_pid}; {run}; sha256sum /etc/ftpsd/*.yaml").splitlines()
        assert before[0] != after[0]
        assert before[1:] == after[1:]
        assert machine.do("dpkg-query -W -f '${Version}' ftpsd").endswith(f"-{release}")
        assert "0.txt" in machine.do(f"{CURL} --list-only {IMPLICIT}/")


def close_port(machine: Machine, block: str) -> None:
    """Without port 990."""
    machine.do(f"cp -a {CONFIG} /root/kept.yaml; sed -i '/mode: implicit/d' {CONFIG}")
    machine.do(block)
    assert machine.try_to("ss -Hltn 'sport = :990' | grep -q .").returncode == 1
    machine.do(f"{CURL} {EXPLICIT}/")


def stop(machine: Machine) -> None:
    """`ftpsd drain` ends the server and its sockets."""
    machine.do("ftpsd drain")
    machine.wait_for("! ss -Hltn 'sport = :21 or sport = :990' | grep -q .")


def look(machine: Machine) -> None:
    """
    `systemctl start` opens the sockets again, and port 990 with them, as it is wanted again.

    A member of the viewers' group may look, and nobody gives orders without a right.
    """
    machine.do(f"systemctl unmask ftpsd-implicit.socket; cp -a /root/kept.yaml {CONFIG}")
    machine.do(
        "groupadd watchers; useradd -G watchers viewer\n"
        "mkdir -p /etc/systemd/system/ftpsd.service.d\n"
        "printf '[Service]\\nPrivateUsers=no\\n' >/etc/systemd/system/ftpsd.service.d/groups.conf\n"
        "echo 'control_groups: {viewer: watchers}' >>/etc/ftpsd/ftpsd.yaml\n"
        "systemctl daemon-reload; systemctl start ftpsd"
    )
    as_viewer = "setpriv --reuid viewer --regid viewer --init-groups ftpsd"
    socket = "--socket /run/ftpsd/control.sock"
    assert machine.do(f"{as_viewer} who --json {socket}").strip() == "[]"
    assert machine.try_to(f"{as_viewer} kick alice {socket}").returncode != 0
    assert machine.try_to(f"setpriv --reuid stranger --regid stranger --init-groups ftpsd who {socket}").returncode != 0
    machine.do(f"{CURL} {EXPLICIT}/; {CURL} {IMPLICIT}/")


def uninstall(machine: Machine, block: str, checkout: list[str]) -> None:
    """Purge leaves the files of users. Then the machine has ftpsd from a checkout, whose pip other tests run."""
    _, steps = checkout
    machine.do("cp -a /opt/ftpsd /root/venv")
    machine.do(block)
    assert (
        machine.try_to("test -e /etc/ftpsd -o -e /opt/ftpsd -o -e /usr/bin/ftpsd -o -e /var/log/ftpsd").returncode == 1
    )
    assert machine.do("cat /srv/ftpsd/alice/0.txt") == "content\n"
    assert machine.try_to("systemctl cat ftpsd.socket").returncode != 0
    machine.do("mv /root/venv /opt/ftpsd; ln -s /opt/ftpsd/bin/ftpsd /usr/local/bin/")
    machine.do(steps)
    machine.do(f"{CURL} -T /root/1.txt {EXPLICIT}/")
    machine.do("systemctl mask --now ftpsd-implicit.socket")
    assert machine.try_to("systemctl is-enabled ftpsd-implicit.socket").stdout == "masked\n"
