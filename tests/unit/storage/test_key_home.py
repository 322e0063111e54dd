"""The key home of OpenPGP: how gpg is started where something keeps setpriv from its work."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.storage.pgp.key_home import dies_with_us


def test_a_setpriv_that_is_refused_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a filter of system calls, which takes capset from it: then gpg is started without it."""
    setpriv = tmp_path / "setpriv"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for script, expected in (
        ("echo 'setpriv: activate capabilities: Operation not permitted' >&2; exit 127", ()),
        ('shift 2; exec "$@"', (str(setpriv), "--pdeathsig=KILL", "--")),
    ):
        setpriv.write_text(f"#!/bin/sh\n{script}\n")
        setpriv.chmod(0o755)
        dies_with_us.cache_clear()
        try:
            assert dies_with_us() == expected
        finally:
            dies_with_us.cache_clear()
