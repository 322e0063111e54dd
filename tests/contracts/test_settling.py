"""Hidden uploads, and what becomes of those that cannot be published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ftpsd.scanning.judgements import Judgement
from ftpsd.scanning.quarantine import Quarantine, Record
from ftpsd.scanning.release import Noting, publish_held
from ftpsd.scanning.settling import Fate, Settled, Settling
from ftpsd.scanning.settling import Site as Place
from ftpsd.storage.base import Kind, Storage, StorageError, Terms
from ftpsd.storage.disk.content import PLAIN
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.uploads.policy import UploadPolicy
from tests.contracts.storages import at, get
from tests.contracts.test_rescans import Site

HIDING = Terms(may_hide=True)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A tree whose /in hides."""
    site = Site(tmp_path, accept="hidden")
    yield site
    site.engine.close()


def upload(site: Site, path: str, data: bytes, terms: Terms = HIDING) -> None:
    """Store a file as a client does."""
    sink = site.storage.open_sink(at(path), terms)
    try:
        sink.write(memoryview(data))
        sink.commit()
    finally:
        sink.abort()


def opened(site: Site, judgements: Sequence[Judgement] = ()) -> Storage:
    """Return the tree, for publishing."""
    return LocalJail.open(site.root, uploads=UploadPolicy(durable=False, gate=Noting(judgements)), owner="\nsettling")


def hidden(site: Site) -> list[Record]:
    """Return what waits."""
    return site.quarantine.hidden.records()


def settle(site: Site, *, longest: float = 100.0, has_rules: bool = True, number: int = 0) -> Settled:
    """Settle one of those that wait, the oldest unless told otherwise."""
    place = Place(site.gate if has_rules else None, PLAIN, lambda judgements: opened(site, judgements))
    settling = Settling(hidden(site)[number], place, site.quarantine.hidden, site.quarantine, longest)
    for _ in settling.run():
        pass
    assert settling.settled is not None
    return settling.settled


def verdicts(site: Site) -> list[str]:
    """Return the verdicts in the quarantine."""
    return [record.verdict for record in site.quarantine.records()]


def test_a_clean_one_is_published(site: Site) -> None:
    """And not before; its verdict is kept with it, so that a rescan passes it by."""
    upload(site, "/in/a", b"data")
    assert (site.shown, list((site.root / "in").iterdir())) == ([], [])
    assert settle(site).fate is Fate.PUBLISHED
    assert (get(site.storage, "/in/a"), hidden(site)) == (b"data", [])
    assert site.shown == [b"data"]
    assert site.counts() == (1, 1, 0, 0, 0)


def test_only_whole_uploads_of_clients_are_hidden(site: Site) -> None:
    """Appends, and what the server makes itself, get their verdict at once."""
    upload(site, "/in/a", b"data", Terms())
    assert get(site.storage, "/in/a") == b"data"
    upload(site, "/in/a", b"more", Terms(append=True, may_hide=True))
    upload(site, "/in/a", b"!", Terms(offset=8, may_hide=True))
    assert (get(site.storage, "/in/a"), hidden(site)) == (b"datamore!", [])
    site.words = {b"bad": b"Bad FOUND"}
    with pytest.raises(StorageError):
        upload(site, "/in/a", b"bad", Terms(append=True, may_hide=True))


def test_without_a_verdict_it_waits(site: Site) -> None:
    """For so long; then it goes into the quarantine, as does one for which no rules are left."""
    upload(site, "/in/a", b"data")
    site.words = {b"data": b""}
    assert settle(site).fate is Fate.WAITS
    assert [record.path for record in hidden(site)] == ["/in/a"]
    assert settle(site, longest=0.0).fate is Fate.QUARANTINED
    site.words = {}
    upload(site, "/in/b", b"data")
    assert settle(site, has_rules=False).fate is Fate.QUARANTINED
    assert verdicts(site) == ["unavailable", "no-rules"]
    assert (hidden(site), list((site.root / "in").iterdir())) == ([], [])


def test_it_replaces_what_it_was_to_replace(site: Site) -> None:
    """An earlier one of the same name, too; not what another program has put there, nor without the right."""
    upload(site, "/in/a", b"first")
    upload(site, "/in/a", b"second")
    upload(site, "/in/a", b"third", Terms(may_hide=True, may_replace=False))
    assert [settle(site).fate for _ in range(2)] == [Fate.PUBLISHED] * 2
    assert get(site.storage, "/in/a") == b"second"
    assert settle(site).fate is Fate.QUARANTINED
    upload(site, "/in/b", b"data")
    (site.root / "in" / "b").write_bytes(b"by another program")
    assert settle(site).fate is Fate.QUARANTINED
    upload(site, "/in/gone", b"data")
    (site.root / "in").rename(site.root / "was-in")
    assert settle(site).fate is Fate.QUARANTINED
    assert verdicts(site) == ["conflict", "conflict", "no-directory"]


def test_a_find(site: Site) -> None:
    """It goes into the quarantine with its verdict, and waits where that has no room."""
    site.words = {b"bad": b"Bad FOUND"}
    upload(site, "/in/a", b"bad")
    full = Quarantine(site.quarantine.directory, 0)
    settling = Settling(hidden(site)[0], Place(site.gate, PLAIN, lambda _: opened(site)), full.hidden, full, 0.0)
    for _ in settling.run():
        pass
    assert settling.settled is not None
    assert (settling.settled.fate, len(hidden(site))) == (Fate.WAITS, 1)
    assert settle(site).fate is Fate.QUARANTINED
    (record,) = site.quarantine.records()
    assert (record.verdict, record.found, record.engine) == ("infected", "Bad", str(site.engine.address))


def test_a_crash_behind_its_publication(site: Site) -> None:
    """The next start finds that it is there; it is no conflict, and later ones of its name replace it."""
    upload(site, "/in/a", b"first")
    upload(site, "/in/a", b"second")
    record = hidden(site)[0]
    with open(site.quarantine.hidden.open(record.incident), "rb") as file:
        publish_held(record, file.fileno(), opened(site))
    assert [settle(site).fate for _ in range(2)] == [Fate.PUBLISHED] * 2
    assert (get(site.storage, "/in/a"), verdicts(site)) == (b"second", [])


def test_a_bound(tmp_path: Path) -> None:
    """What does not fit is 451, and can be resumed."""
    site = Site(tmp_path, room=10, accept="hidden")
    try:
        upload(site, "/in/a", b"data")
        with pytest.raises(StorageError) as error:
            upload(site, "/in/b", b"too much")
        assert error.value.kind is Kind.UNJUDGED
        assert len(hidden(site)) == 1
    finally:
        site.engine.close()
