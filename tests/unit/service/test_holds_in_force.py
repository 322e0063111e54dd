"""Legal holds in force: what is read of the state file, and what another file in its place changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.durable.opening import state_opened
from ftpsd.service.retaining.holds import put_hold, take_hold
from ftpsd.service.retaining.holds_in_force import HoldsInForce
from ftpsd.storage.retention.terms_of_keeping import Hold

CASE = Hold("case", "a court", 1.0, "me", ("/**",), ())
OTHER = Hold("other", "a court", 2.0, "me", ("/**",), ())


@pytest.mark.parametrize("reads_between", [False, True])
def test_another_file_ends_no_hold(tmp_path: Path, reads_between: bool) -> None:
    """They go on being in force, are written into it, and end when they are removed from that."""
    path = tmp_path / "state.db"
    in_force = HoldsInForce(path)
    assert in_force.now() == ()
    with state_opened(path) as connection:
        put_hold(connection, CASE)
    assert in_force.now() == (CASE,)
    for file in tmp_path.iterdir():
        file.unlink()
    if reads_between:
        # It is closed then, so that the number of the file may be given to the next one.
        assert in_force.now() == (CASE,)
        path.touch(0o600)
        assert in_force.now() == (CASE,)
    with state_opened(path) as connection:
        assert in_force.now() == (CASE,)
        put_hold(connection, OTHER)
        assert in_force.now() == (OTHER, CASE)
        in_force.carry(connection)
        assert in_force.now() == (CASE, OTHER)
        assert take_hold(connection, "case") is not None
        assert in_force.now() == (OTHER,)
        in_force.carry(connection)
        assert in_force.now() == (OTHER,)
    # A file that could not be read for a moment is no other one.
    in_force.close()
    with state_opened(path) as connection:
        assert take_hold(connection, "other") is not None
    assert in_force.now() == ()
    in_force.close()
