"""
Workflows and SIGKILL: behind every 226 each step is done, and what changes files is done once.

`FTPSD_KILLS=1000` has as many deaths; an ordinary run has a few.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

from tests.e2e.polling import eventually
from tests.reliability.conftest import StartMortal
from tests.reliability.mortal import leftovers
from tests.reliability.test_events_survive import Uploader, asked, settled

KILLS = int(os.environ.get("FTPSD_KILLS", "4"))
NOTE = 'printf "%s\\n" "$2" >>"$1"'


def test_each_step_once(start_mortal: StartMortal, tmp_path: Path) -> None:
    """At moments of chance and before calls of the steps; the end is as if nothing had happened."""
    seen = tmp_path / "seen"
    program = ["/bin/sh", "-c", NOTE, "note", str(seen), "{id}"]
    steps = [{"copy": "/copies/"}, {"program": program}, {"rename": "{stem}-{id}"}, {"move": "/done/{name}"}]
    workflow = {"name": "w", "paths": ["/*"], "steps": steps, "at_once": 2}
    changes = {"events": {}, "workflows": [workflow], "uploads": {"durable": False}}
    daemon = start_mortal(changes)
    account = daemon.account()
    done: set[str] = set()
    chance = random.Random(4711)
    for number in range(KILLS):
        client = Uploader(daemon, account, f"{number}", done)
        wanted = len(done) + chance.randint(2, 6)
        client.start()
        eventually(lambda wanted=wanted: len(done) >= wanted, "uploads", 60)  # type: ignore[misc]
        if number % 2:
            daemon.plan("kill", chance.randint(1, 12), threads="ftpsd-workflow")
            daemon.wait_until_dead()
        else:
            daemon.sigkill()
        client.is_over = True
        client.join(30)
        daemon.restart()
    events = settled(daemon)
    over = "SELECT count(*) FROM runs WHERE phase = 'done'"
    eventually(lambda: asked(daemon, over) == [(len(events),)], "all runs", 120)
    names = {path.lstrip("/") for path in events}
    assert done <= names
    home = account.home
    assert {path.name for path in (home / "copies").iterdir() if not path.name.startswith(".ftpsd-")} == names
    expected = {f"{path.lstrip('/')}-{ids[0]}" for path, ids in events.items()}
    assert {path.name for path in (home / "done").iterdir() if not path.name.startswith(".ftpsd-")} == expected
    for name in names:
        assert (home / "copies" / name).read_bytes().endswith(name.encode())
        assert (home / "done" / f"{name}-{events[f'/{name}'][0]}").read_bytes().endswith(name.encode())
    # Temporary names that no client has renamed are left, and nothing else.
    left = [name for name in leftovers(home) if "/" not in name and not name.startswith(".ftpsd-")]
    assert [name for name in left if not name.endswith(".tmp")] == ["copies", "done"]
    # A program comes again where the death came between it and its note: for one of two events at each death.
    noted = Counter(seen.read_text().split())
    assert set(noted) == {ids[0] for ids in events.values()}
    assert sum(noted.values()) - len(noted) <= 2 * KILLS
    print(f"{KILLS} deaths, {len(events)} runs, {sum(noted.values()) - len(noted)} programs that came again")
