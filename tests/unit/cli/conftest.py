"""Commands are tried with passwords whose hash costs nothing: what it costs is the subject of unit/auth."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.unit.auth.counting import counted_argon2


@pytest.fixture(autouse=True)
def cheap_hashes() -> Iterator[None]:
    """Make hashes that cost nothing, in this process."""
    with counted_argon2():
        yield


@pytest.fixture(autouse=True)
def own_umask_and_priority() -> Iterator[None]:
    """Take back what a command sets for its process, which is that of the tests here."""
    umask, priority = os.umask(0o022), os.getpriority(os.PRIO_PROCESS, 0)
    os.umask(umask)
    yield
    os.umask(umask)
    if os.getpriority(os.PRIO_PROCESS, 0) != priority:
        os.setpriority(os.PRIO_PROCESS, 0, priority)
