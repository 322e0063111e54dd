"""Commands are tried with passwords whose hash costs nothing: what it costs is the subject of unit/auth."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.auth.counting import counted_argon2


@pytest.fixture(autouse=True)
def cheap_hashes() -> Iterator[None]:
    """Make hashes that cost nothing, in this process."""
    with counted_argon2():
        yield
