"""Backups that others may write to: lists that nobody has signed, older ones, rotten objects, two runs at once."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftpsd.audit.evidence.keys import private_key_in
from ftpsd.backups.list_signatures import shown_key, signing_key
from ftpsd.backups.manifest import Manifest, ManifestWriter, Owners, read_manifest
from ftpsd.demo.authority import Demonstration
from tests.e2e.daemon import Daemon
from tests.e2e.partners.counterparts import counterpart
from tests.e2e.partners.test_backups import Still, backed_up, restored
from tests.e2e.polling import eventually
from tests.tools import reachable_folder


@pytest.fixture
def still(tmp_path: Path, tls_files: Demonstration) -> Still:
    """A daemon that does not run."""
    return Still(tmp_path, tls_files)


def lists(still: Still) -> list[Path]:
    """Return the lists of its backups, the oldest first."""
    return sorted((still.place / "backups").iterdir())


def rewritten(data: bytes, key: Path | None, change: Callable[[Manifest], Manifest]) -> bytes:
    """Return the list *data* with a change, signed with *key*."""
    manifest = change(read_manifest(io.BytesIO(data)))
    stream = io.BytesIO()
    writer = ManifestWriter(stream, manifest.header, None if key is None else private_key_in(key.read_bytes()))
    for item in manifest.items:
        writer.add(item)
    writer.end(manifest.owners)
    return stream.getvalue()


def test_only_a_list_that_the_server_has_signed_is_believed(still: Still, tmp_path: Path) -> None:
    """Others in its place are refused before anything changes; --signer and --unsigned are the ways past it."""
    backed_up(still.daemon)
    (place,) = lists(still)
    data = place.read_bytes()
    foreign = tmp_path / "foreign.key"
    signer = shown_key(signing_key(foreign)[0].public_key())
    victim = tmp_path / "planted"

    def plant(manifest: Manifest) -> Manifest:
        one = next(item for item in manifest.items if item.path == str(still.home / "a"))
        return replace(manifest, items=[*manifest.items, replace(one, root=str(tmp_path), names=("planted",))])

    stripped = json.loads(data.splitlines()[-1])
    del stripped["signature"], stripped["signer"]
    for changed, word in (
        (rewritten(data, None, plant), "is not signed"),
        (rewritten(data, foreign, plant), f"signed by {signer}, a key that is not trusted"),
        (rewritten(data, foreign, lambda manifest: manifest), f"signed by {signer}"),
        (b"".join(data.splitlines(keepends=True)[:-1]) + json.dumps(stripped).encode() + b"\n", "is not signed"),
        (data.replace(b'"signature":"', b'"signature":"A', 1), "its list was changed"),
        (data.replace(shown_key(signing_key(key_of(still))[0].public_key()).encode(), signer.encode()), "was changed"),
    ):
        place.write_bytes(changed)
        for arguments in (("--dry-run",), ("--overwrite",)):
            assert word in restored(still.daemon, "--from", str(still.place), *arguments, code=2)
        assert not victim.exists()
    place.write_bytes(rewritten(data, None, plant))
    shown = restored(still.daemon, "--from", str(still.place), "--dry-run", "--unsigned")
    assert "CAUTION: the list of this backup is not signed" in shown
    assert f"new  {victim}" in shown
    place.write_bytes(rewritten(data, foreign, plant))
    told = json.loads(restored(still.daemon, "--from", str(still.place), "--list", "--json"))
    assert [(each["signer"], each["trusted"]) for each in told] == [(signer, False)]
    for key in (signer, str(foreign), f"{foreign}.pub"):
        assert f"new  {victim}" in restored(still.daemon, "--from", str(still.place), "--dry-run", "--signer", key)
    assert "neither a key" in restored(still.daemon, "--from", str(still.place), "--signer", "/etc/passwd", code=2)
    # A signed list in the place of another one is found by its name.
    place.write_bytes(data)
    shutil.copy(place, place.with_name("20991231T000000Z-000000.jsonl"))
    assert "its list is that of" in restored(still.daemon, "--from", str(still.place), "--dry-run", code=2)
    # The next backup builds on none of them.
    assert any("its list is that of" in trouble for trouble in troubles(still))


def key_of(still: Still) -> Path:
    """Return the key that signs its backups."""
    return still.daemon.folder / "backup.key"


def troubles(still: Still) -> list[str]:
    """Make a backup with troubles, and return them."""
    done = still.daemon.order("backup", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    found: list[str] = json.loads(done.stdout)["troubles"]
    return found


def test_a_forged_list_does_not_get_into_the_next_backup(still: Still) -> None:
    """It says that a file is still the one of other bytes: the file is read."""
    backed_up(still.daemon)
    (place,) = lists(still)

    def other_bytes(manifest: Manifest) -> Manifest:
        b = next(item for item in manifest.items if item.path.endswith("/er/b"))
        return replace(
            manifest,
            items=[
                replace(item, sha256=b.sha256) if item.path == str(still.home / "a") else item
                for item in manifest.items
            ],
        )

    place.write_bytes(rewritten(place.read_bytes(), None, other_bytes))
    assert troubles(still) == [f"the backup {place.stem}: its list is not signed by this server"]
    (still.home / "a").unlink()
    restored(still.daemon, "--from", str(still.place), "--only", "homes")
    assert (still.home / "a").read_bytes() == b"a" * 1000


def test_an_older_backup_in_place_of_the_last_one_is_shown(still: Still) -> None:
    """Backups are numbered; the last one of this server, which is gone, is told by restores and backups."""
    with still.daemon.running():
        first, second = backed_up(still.daemon), backed_up(still.daemon)
    assert (first["sequence"], second["sequence"]) == (1, 2)
    assert "CAUTION" not in restored(still.daemon, "--job", "own", "--dry-run", "--only", "homes")
    lists(still)[-1].unlink()
    shown = restored(still.daemon, "--from", str(still.place), "--dry-run", "--only", "homes")
    assert f"{second['name']}, number 2, and it is gone" in shown
    assert f"backup {first['name']}, number 1 of" in shown
    assert troubles(still) == [f"the backup {second['name']}, number 2, was made there and is gone"]
    third = backed_up(still.daemon)
    assert third["sequence"] == 4


def test_a_rotten_object_is_found_and_stored_anew(still: Still) -> None:
    """Of the right size, with other bytes: --verify names it, and the next backup has it again."""
    backed_up(still.daemon)
    assert "0 of them damaged" in still.daemon.order("backup", "--verify").stdout
    (rotten,) = (path for path in (still.place / "objects").glob("??/*") if path.read_bytes() == b"a" * 1000)
    rotten.write_bytes(b"a" * 999 + b"b")
    assert backed_up(still.daemon)["stored"] == 0
    found = still.daemon.order("backup", "--verify", "--json")
    assert found.returncode == 1, found.stderr
    told = json.loads(found.stdout)
    assert told["damaged"] == 1
    assert {file.partition(": ")[2] for file in told["files"]} == {str(still.home / "a"), str(still.home / "copy")}
    assert rotten.with_name(rotten.name + ".damaged").exists()
    assert "is missing" in restored(still.daemon, "--from", str(still.place), "--dry-run", code=2)
    assert backed_up(still.daemon)["stored"] == 1
    assert "0 of them damaged" in still.daemon.order("backup", "--verify").stdout
    (still.home / "a").unlink()
    restored(still.daemon, "--from", str(still.place), "--only", "homes")
    assert (still.home / "a").read_bytes() == b"a" * 1000


def test_owners_come_back_by_name(still: Still) -> None:
    """A machine where the user has another number; a name that it does not have is told, and the number stays."""
    if os.geteuid() != 0:
        pytest.skip("who is not root restores what is their own")
    os.chown(still.home / "a", 5, 60)  # games:games of Debian
    os.chown(still.home / "copy", 61_002, 61_002)
    backed_up(still.daemon)
    (place,) = lists(still)

    def elsewhere(manifest: Manifest) -> Manifest:
        assert (manifest.owners.users[5], manifest.owners.groups[60]) == ("games", "games")
        assert 61_002 not in manifest.owners.users
        numbers = {5: 61_001, 60: 61_001}
        items = [
            replace(item, uid=numbers.get(item.uid, item.uid), gid=numbers.get(item.gid, item.gid))
            for item in manifest.items
        ]
        owners = Owners({0: "root", 61_001: "games", 61_002: "nosuchuser"}, {0: "root", 61_001: "games"})
        return replace(manifest, items=items, owners=owners)

    place.write_bytes(rewritten(place.read_bytes(), key_of(still), elsewhere))
    for name in ("a", "copy"):
        (still.home / name).unlink()
    for arguments in (("--dry-run",), ()):
        shown = restored(still.daemon, "--from", str(still.place), "--only", "homes", *arguments)
        assert "there is no user nosuchuser here: what belongs to it keeps the number 61002" in shown
    assert [(each.st_uid, each.st_gid) for each in (os.stat(still.home / name) for name in ("a", "copy"))] == [
        (5, 60),
        (61_002, 61_002),
    ]


def test_no_backup_has_the_key_that_signs(still: Still) -> None:
    """Not with `keys`, and not where a tree of `also` has it in it."""
    backup: dict[str, Any] = {"directory": str(still.place), "keys": True, "also": [str(still.daemon.folder)]}
    still.daemon._changes = {**still.daemon._changes, "jobs": [{"name": "own", "backup": backup}]}
    still.daemon.write_config()
    backed_up(still.daemon)
    assert backed_up(still.daemon)["files"] > 3
    stored = [path.read_bytes() for path in (still.place / "objects").glob("??/*")]
    assert still.daemon.config_file.read_bytes() in stored
    assert key_of(still).read_bytes() not in stored


def test_two_runs_at_one_partner(tmp_path: Path, tls_files: Demonstration) -> None:
    """At once, and behind one that was killed: all that has a list is whole, and no lock is left."""
    with reachable_folder() as folder, counterpart(folder / "a", "vsftpd") as there:
        there.make("")
        job = {"name": "off-site", "backup": {"partner": "vault", "target": "/safe"}}
        # Three clients at once on a machine that is busy: none is to be cut off for being slow.
        vault = there.section(tmp_path, "vault", timeout="3m")
        daemon = Daemon(tmp_path / "d", tls_files, {"partners": [vault], "jobs": [job]})
        home = daemon.account().home
        for number in range(40):
            (home / f"f{number}").write_bytes(os.urandom(1000))
        locks = there.home / "safe" / "locks"
        killed = daemon.begin_order("backup")
        eventually(lambda: [*locks.glob("*.json")] or killed.poll() is not None, "its lock", 180)
        killed.kill()
        killed.wait(60)
        runs = [daemon.begin_order("backup") for _ in range(2)]
        # Both may be refused where they begin at the same moment again and again.
        for end in [run.wait(180) for run in runs]:
            is_refused = end.returncode == 2 and "another backup is being made there" in end.stdout + end.stderr
            assert end.returncode == 0 or is_refused, (end.returncode, end.stderr)
        last = daemon.order("backup", patience=180)
        assert last.returncode == 0, last.stderr
        assert (
            "0 of them damaged or missing, 0 damaged lists" in daemon.order("backup", "--verify", patience=180).stdout
        )
        assert [*locks.iterdir()] == []
