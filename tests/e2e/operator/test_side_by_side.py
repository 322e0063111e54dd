"""
Another server and what `ftpsd migrate` makes of it, side by side: the same clients, the same replies, the same files.

Each user tries the same deeds at both, and nothing may differ.
"""

from __future__ import annotations

import ftplib
import io
import ssl
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import pytest
import yaml

from bench.packages import Missing
from ftpsd.demo.authority import Demonstration
from tests.e2e.at_once import all_at_once
from tests.e2e.client import IPV4, ReusedFTP_TLS
from tests.e2e.daemon import PASSWORD, Daemon
from tests.e2e.forked import ftpsd
from tests.e2e.operator.old_servers import NAMES, SERVERS, OldServer, Place, Running, programs
from tests.e2e.ports import claim_block
from tests.tools import missing, reachable_folder

# Seconds for an answer of either server: the machine may have other work.
PATIENCE = 120.0

Deed = Callable[[ftplib.FTP], str | None]
Results = dict[str, str]


def stored(command: str) -> Deed:
    return lambda client: client.storbinary(command, io.BytesIO(b"new\n"))


def fetched(path: str) -> Deed:
    def do(client: ftplib.FTP) -> str:
        data = io.BytesIO()
        reply = client.retrbinary(f"RETR {path}", data.write)
        return f"{reply[:1]} {data.getvalue().decode()}"

    return do


def listed(path: str) -> Deed:
    # Some servers list paths, some names, some also the folder itself and the one above.
    return lambda client: "2 " + " ".join(sorted({each.rpartition("/")[2] for each in client.nlst(path)} - {".", ".."}))


def sent(command: str) -> Deed:
    return lambda client: client.voidcmd(command)


DEEDS: dict[str, Deed] = {
    "list": listed(""),
    "list a folder": listed("readonly"),
    "download": fetched("old.txt"),
    "download what is not there": fetched("absent.txt"),
    "download below": fetched("readonly/keep.txt"),
    "upload": stored("STOR new.txt"),
    "upload again": stored("STOR new.txt"),
    "overwrite": stored("STOR old.txt"),
    "append": stored("APPE old.txt"),
    "upload below": stored("STOR inbox/new.txt"),
    "upload where it is forbidden": stored("STOR readonly/new.txt"),
    "overwrite where it is forbidden": stored("STOR readonly/keep.txt"),
    "delete where it is forbidden": sent("DELE readonly/keep.txt"),
    "make a folder where it is forbidden": sent("MKD readonly/made"),
    "make a folder": sent("MKD made"),
    "make it again": sent("MKD made"),
    "upload into it": stored("STOR made/new.txt"),
    "delete in it": sent("DELE made/new.txt"),
    "remove it": sent("RMD made"),
    "rename": lambda client: client.rename("inbox/there.txt", "inbox/moved.txt"),
    "delete": sent("DELE new.txt"),
    "delete what is not there": sent("DELE absent.txt"),
    "download from outside": fetched("../secret.txt"),
    "download by its whole path": fetched("/etc/passwd"),
    "upload to another home": stored("STOR ../bob/planted.txt"),
    "make a folder outside": sent("MKD ../planted"),
    "change into the folder above": sent("CWD /../../.."),
    "list that": listed(""),
}


def connected(server: OldServer, port: int, tls: Demonstration) -> ftplib.FTP:
    client: ftplib.FTP
    if server.is_tls:
        context = ssl.create_default_context(cafile=str(tls.authority))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        client = ReusedFTP_TLS(context=context, timeout=PATIENCE)
    else:
        client = ftplib.FTP(timeout=PATIENCE)
    client.connect(IPV4, port)
    return client


def kind(do: Callable[[], str | None]) -> str:
    """Return how a deed ended: what came of it, or that it was refused."""
    try:
        reply = do() or ""
    except (ftplib.error_perm, ftplib.error_temp):
        return "refused"
    return "done" if reply[1:2] != " " or reply[:1] != "2" else f"done: {reply[2:]}"


def tried(server: OldServer, port: int, tls: Demonstration) -> Results:
    """Let each user try everything, all at once; return how each deed ended."""
    results: Results = {}

    def log_in(name: str, password: str, what: str) -> None:
        client = connected(server, port, tls)
        with closing(client):
            results[f"{name}: {what}"] = kind(lambda: client.login(name, password))
            if results[f"{name}: {what}"] == "refused":
                return
            if isinstance(client, ReusedFTP_TLS):
                client.prot_p()
            for deed, do in DEEDS.items():
                results[f"{name}: {deed}"] = kind(partial(do, client))

    passwords = (("wrong-word", "wrong password"), (PASSWORD, "login"))
    all_at_once(log_in, [(name, *each) for name in NAMES for each in passwords])
    return results


class Migrated(Daemon):
    """The daemon that the command has made; only what belongs to this test alone is added."""

    def settings(self) -> dict[str, Any]:
        given = super().settings()
        keep = ("metrics", "control_socket", "state", "audit", "penalties")
        made = yaml.safe_load((self.folder / "made/ftpsd.yaml").read_text()) or {}
        # Those whose configuration is a program say nothing of these.
        needed = {key: given[key] for key in ("listeners", "passive", "tls") if key not in made}
        if "tls" in needed:
            needed["tls"] = {**needed["tls"], "require": "none"}
        return {**made, **needed, **{key: given[key] for key in keep}}

    def write_users(self, users: object) -> None:
        made = (self.folder / "made/users.yaml").read_text()
        self.users_file.write_text(made)
        self.users_file.chmod(0o600)


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_the_same_users_do_the_same(server: OldServer, tls_files: Demonstration) -> None:
    """Every reply is of the same kind, every download and listing has the same in it, and so have the homes then."""
    with reachable_folder() as folder:
        ports = claim_block()
        place = Place(folder, ports, tls_files, programs())
        try:
            place.make_homes()
            made = server.set_up(place)
            with Running(place, made):
                before = tried(server, ports.explicit, tls_files)
            files_before = place.tree()
            place.make_homes()
            ordered = ftpsd("migrate", *made.words, "--output", folder / "ours/made")
            assert ordered.returncode == 0, ordered.stderr
            daemon = Migrated(folder / "ours", tls_files)
            with daemon.running():
                after = tried(server, daemon.settings()["listeners"][0]["port"], tls_files)
            files_after = place.tree()
        except Missing as problem:
            missing(f"{server.name}: {problem}")
        finally:
            ports.release()
    ours = {deed: after.get(deed, "nothing") for deed in before}
    assert [(deed, before[deed], ours[deed]) for deed in before if before[deed] != ours[deed]] == []
    assert after.keys() == before.keys()
    assert files_after == files_before
    # The users are those that the server's configuration says: they do not all fail alike.
    known = {
        "alice: login": "done",
        "alice: upload": "done",
        "alice: delete where it is forbidden": server.deletes,
        "bob: upload": server.bob_uploads,
        "carol: login": "refused",
    }
    assert {deed: before[deed] for deed in known} == known
    assert {before[f"{name}: wrong password"] for name in NAMES} == {"refused"}
