"""The recipes of docs/automation.md about jobs, followed to the letter but for names, paths and ports."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftpsd.demo.authority import Demonstration
from tests.e2e.daemon import Daemon
from tests.e2e.partners.counterparts import Counterpart, counterpart
from tests.tools import ROOT, reachable_folder

PAGE = (ROOT / "docs" / "automation.md").read_text()


class Follower:
    """A new user who follows the page, with a server of their own and a partner's."""

    def __init__(self, folder: Path, tls: Demonstration, partner: Counterpart) -> None:
        self.folder = folder
        self.partner = partner
        self.daemon = Daemon(folder / "daemon", tls, {}, users=1)
        alice = {"alice": self.daemon.users["u000"]}
        self.daemon.write_users(alice)
        self.home = Path(alice["alice"]["home"])
        self.daemon.start()

    def follow(self, title: str) -> list[str]:
        """Do what the section says; return what each of its blocks of commands has printed."""
        text = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
        blocks = re.findall(r"```(yaml|sh)\n(.*?)```", text, re.DOTALL)
        return [self._typed(block) for kind, block in blocks if kind == "sh" or self._written(block)]

    def _written(self, block: str) -> bool:
        # The partner of the page is the one that runs here.
        here = self.partner
        text = self._local(block).replace("ftp.acme.example", "127.0.0.1").replace("files1", here.user)
        sections: dict[str, Any] = yaml.safe_load(text)
        for partner in sections.get("partners", ()):
            partner |= {"port": here.port, "authority": str(here.authority)}
        self.daemon._changes = {**self.daemon._changes, **sections}
        self.daemon.write_config()
        return False

    def _typed(self, block: str) -> str:
        said = ""
        for line in self._local(block).splitlines():
            command = line.partition("#")[0].split()
            if command[:1] == ["ftpsd"]:
                done = self.daemon.order(*command[1:])
            else:
                typed = self.partner.password + "\n"
                done = subprocess.run(["sh", "-c", line], input=typed, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            said += done.stdout
        return said

    def _local(self, block: str) -> str:
        for there, here in (
            ("/etc/ftpsd", str(self.daemon.folder)),
            ("/var/backups", str(self.folder / "backups")),
            ("-o ftpsd", "-o root"),
            ("-g ftpsd", "-g root"),
        ):
            block = block.replace(there, here)
        return block


@pytest.fixture(scope="module")
def follower(tls_files: Demonstration) -> Iterator[Follower]:
    """One, for all recipes."""
    with ExitStack() as stack:
        folder = stack.enter_context(reachable_folder())
        partner = stack.enter_context(counterpart(folder / "partner", "vsftpd"))
        follower = Follower(folder, tls_files, partner)
        stack.callback(follower.daemon.kill)
        yield follower


def test_the_recipes_are_followed(follower: Follower) -> None:
    """A push is there and in the archive here, a pull the other way round; a backup is made, and verified."""
    (follower.home / "outbox").mkdir()
    (follower.home / "outbox" / "report.csv").write_bytes(b"1;2;3")
    follower.partner.make("in")
    *_, said = follower.follow("Nightly push to a partner")
    assert "nightly: done, 1 file" in said
    assert (follower.partner.home / "in" / "report.csv").read_bytes() == b"1;2;3"
    assert [each.name for each in (follower.home / "sent").iterdir()] == ["report.csv"]

    follower.partner.put("out/order.xml", b"<order/>")
    *_, said = follower.follow("Pull with archive")
    assert "fetch: done, 1 file" in said
    assert (follower.home / "inbox" / "order.xml").read_bytes() == b"<order/>"
    assert [each.name for each in (follower.partner.home / "out" / "done").iterdir()] == ["order.xml"]

    *_, said = follower.follow("Backup and restore")
    assert "backup: done" in said
    assert "all of it verified: 0 new, 0 to replace" in said
