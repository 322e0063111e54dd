"""SIGKILL at random moments, while several clients upload, overwrite, append, rename and delete."""

from __future__ import annotations

import ftplib
import random
import threading
import time
from contextlib import suppress
from pathlib import Path

from ftpsd.storage.uploads.sweep import sweep_partials
from tests.e2e.client import EXPLICIT, log_in, upload
from tests.e2e.daemon import Account
from tests.reliability.conftest import StartMortal
from tests.reliability.deaths import DEAD
from tests.reliability.mortal import MortalDaemon, leftovers
from tests.reliability.scale import scaled

DEATHS = scaled(15, 1000)
ACTORS = 4
# From nothing to what takes longer than most of the lives of the daemon.
SIZES = (0, 1, 900, 65_536, 65_537, 400_000, 3_000_000)
LONGEST_LIFE = 0.4

Files = dict[str, bytes]


class Actor:
    """A client that does one thing after the other with its own names, and knows what it was promised."""

    def __init__(self, number: int) -> None:
        self.chance = random.Random(number)
        self.names = [f"{number}-{letter}" for letter in "abc"]
        self.files: Files = {}  # after the last answer
        self.hoped: Files | None = None  # after the answer that is still to come
        self.uploading: tuple[str, bytes] | None = None
        self.answers = 0

    def work(self, daemon: MortalDaemon, account: Account) -> None:
        """Work until the daemon dies."""
        with suppress(*DEAD):
            ftp = log_in(daemon, EXPLICIT, account)
            try:
                ftp.sendcmd("TYPE I")
                while True:
                    self._step(ftp)
                    self.answers += 1
            finally:
                ftp.close()

    def _step(self, ftp: ftplib.FTP) -> None:
        verb = self.chance.choice(["STOR", "STOR", "STOR", "APPE", "RNFR", "DELE"])
        name = self.chance.choice(self.names)
        if verb == "STOR" or name not in self.files:
            data = self.chance.randbytes(self.chance.choice(SIZES))
            self.hoped = {**self.files, name: data}
            self.uploading = (name, data)
            answer = upload(ftp, name, data)
        elif verb == "APPE":
            line = b"%d\n" % self.answers
            self.hoped = {**self.files, name: self.files[name] + line}
            answer = upload(ftp, name, line, verb="APPE")
        elif verb == "RNFR":
            new = self.chance.choice([other for other in self.names if other != name])
            self.hoped = {**self.files, new: self.files[name]}
            del self.hoped[name]
            answer = ftp.rename(name, new)
        else:
            self.hoped = {key: data for key, data in self.files.items() if key != name}
            answer = ftp.delete(name)
        assert answer.startswith("2")
        self.files, self.hoped, self.uploading = self.hoped, None, None

    def judge(self, home: Path) -> None:
        """See that the disk has what was promised, or that and what was asked for last; nothing in between."""
        found = {name: (home / name).read_bytes() for name in self.names if (home / name).exists()}
        assert found == self.files or (self.hoped is not None and found == self.hoped)
        self.files, self.hoped = found, None

    def go_on(self, ftp: ftplib.FTP) -> int:
        """Complete the new file that was cut off, from where it ended; return how many bytes that spared."""
        cut, self.uploading = self.uploading, None
        if cut is None or cut[0] in self.files:
            return 0
        name, data = cut
        length = 0
        with suppress(ftplib.error_perm):
            length = ftp.size(name) or 0
        assert length <= len(data)
        upload(ftp, name, data[length:], rest=length or None)
        self.files[name] = data
        return length


def test_killed_at_random_moments(start_mortal: StartMortal) -> None:
    """Through many lives every file is what its client was told, and what was cut off is gone on with."""
    daemon = start_mortal(has_faults=False)
    account = daemon.account()
    chance = random.Random(4711)
    actors = [Actor(number) for number in range(ACTORS)]
    spared = 0
    for _ in range(DEATHS):
        threads = [threading.Thread(target=actor.work, args=(daemon, account)) for actor in actors]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.02, LONGEST_LIFE))
        daemon.sigkill()
        for thread in threads:
            thread.join()
        for actor in actors:
            actor.judge(account.home)
        daemon.restart()
        ftp = log_in(daemon, EXPLICIT, account)
        ftp.sendcmd("TYPE I")
        spared += sum(actor.go_on(ftp) for actor in actors)
        ftp.close()
        for actor in actors:
            actor.judge(account.home)
    answers = sum(actor.answers for actor in actors)
    print(f"{DEATHS} deaths, {answers} answers, {spared} bytes not sent again")
    assert answers > DEATHS
    sweep_partials(account.home, 0)
    assert leftovers(account.home, *(name for actor in actors for name in actor.files)) == []
