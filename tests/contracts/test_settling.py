"""Hidden uploads, and what becomes of those that cannot be published."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ftpsd.scanning.judgements import Judgement
from ftpsd.scanning.quarantine import Quarantine, Record
from ftpsd.scanning.release import Noting, publish_held
from ftpsd.scanning.waiting.hidden_place import HiddenPlace
from ftpsd.scanning.waiting.settling import Fate, Settled, Settling
from ftpsd.scanning.waiting.settling import Site as Place
from ftpsd.storage.base import Kind, Storage, StorageError, Terms
from ftpsd.storage.disk.content import PLAIN, Content
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.quota.change import QuotaLedger
from ftpsd.storage.quota.ledger import NO_LEDGER, Ledger
from ftpsd.storage.quota.register import QuotaAccounts
from ftpsd.storage.sealing.damage import DamagedError, Reason
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.quota import ENDLESS, Quota
from tests.contracts.storages import at, get
from tests.contracts.test_rescans import Site

HIDING = Terms(may_hide=True)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A tree whose /in hides."""
    site = Site(tmp_path, accept="hidden")
    yield site
    site.engine.close()


def upload(site: Site, path: str, data: bytes, terms: Terms = HIDING, tree: Storage | None = None) -> None:
    """Store a file as a client does, of alice unless *tree* is another's."""
    sink = (tree or site.storage).open_sink(at(path), terms)
    try:
        sink.write(memoryview(data))
        sink.commit()
    finally:
        sink.abort()


def opened(site: Site, judgements: Sequence[Judgement] = (), ledger: Ledger = NO_LEDGER) -> Storage:
    """Return the tree, for publishing."""
    policy = UploadPolicy(durable=False, gate=Noting(judgements))
    return LocalJail.open(site.root, uploads=policy, owner="\nsettling", ledger=ledger)


def hidden(site: Site) -> list[Record]:
    """Return what waits."""
    return site.hidden.records()


def settle(
    site: Site,
    *,
    longest: float = 100.0,
    has_rules: bool = True,
    number: int = 0,
    content: Content = PLAIN,
    ledger: Ledger = NO_LEDGER,
) -> Settled:
    """Settle one of those that wait, the oldest unless told otherwise."""
    gate = site.gate if has_rules else None
    place = Place(gate, content, lambda judgements: opened(site, judgements, ledger), ledger)
    settling = Settling(hidden(site)[number], place, site.hidden, site.quarantine, longest)
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


def test_nothing_is_built_on_what_is_about_to_be_replaced(site: Site) -> None:
    """The file that is there is not what its client was told is stored, and the one that waits would find another."""
    upload(site, "/in/a", b"old", Terms())
    upload(site, "/in/a", b"newer")
    appending, resuming = Terms(append=True, may_hide=True), Terms(offset=3, may_hide=True)
    for terms in (appending, resuming):
        with pytest.raises(StorageError) as error:
            upload(site, "/in/a", b"more", terms)
        assert error.value.kind is Kind.BUSY
    sink = site.storage.open_sink(at("/in/b"), appending)
    sink.write(memoryview(b"more"))
    upload(site, "/in/b", b"came in meanwhile")
    with pytest.raises(StorageError) as error:
        sink.commit()
    assert error.value.kind is Kind.BUSY
    while hidden(site):
        assert settle(site).fate is Fate.PUBLISHED
    upload(site, "/in/a", b"more", appending)
    assert (get(site.storage, "/in/a"), get(site.storage, "/in/b")) == (b"newermore", b"came in meanwhile")
    assert verdicts(site) == []


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
    settling = Settling(hidden(site)[0], Place(site.gate, PLAIN, lambda _: opened(site)), site.hidden, full, 0.0)
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
    with open(site.hidden.leaf_of(record.incident).open(record.incident), "rb") as file:
        publish_held(record, file.fileno(), opened(site))
    assert [settle(site).fate for _ in range(2)] == [Fate.PUBLISHED] * 2
    assert (get(site.storage, "/in/a"), verdicts(site)) == (b"second", [])


def test_a_bound(tmp_path: Path) -> None:
    """One that does not fit is 451, and can be resumed; one user has a quarter of the room, whatever waits in it."""
    site = Site(tmp_path, room=40, accept="hidden")
    try:
        upload(site, "/in/a", b"data")
        with pytest.raises(StorageError, match="this user's") as error:
            upload(site, "/in/b", b"too much")
        assert error.value.kind is Kind.UNJUDGED
        assert len(hidden(site)) == 1
        for name in ("bob", "carol", "dave"):
            upload(site, f"/in/{name}", b"ten bytes!", tree=site.of(name))
        with pytest.raises(StorageError, match="too many uploads wait"):
            upload(site, "/in/b", b"data567", tree=site.of("erin"))
        assert settle(site).fate is Fate.PUBLISHED
        upload(site, "/in/b", b"ten bytes!")
        assert site.hidden.size() == (4, 40)
    finally:
        site.engine.close()


def test_it_counts_for_the_quota(site: Site) -> None:
    """At once, also in a count of the tree, and once behind its publication; refused, it does not."""
    accounts = QuotaAccounts()
    accounts.elsewhere = site.hidden.held_for
    account = accounts.of(site.root)
    for is_counted_before in (True, False):
        ledger = QuotaLedger(account, Quota(bytes=20, files=2))
        accounts.count(account)
        upload(site, "/in/a", b"0123456789", tree=site.of("alice", ledger))
        if not is_counted_before:
            accounts.count(account)
        assert (account.used.bytes, account.used.files) == (10, 1)
        with pytest.raises(StorageError) as error:
            upload(site, "/in/b", b"0123456789!", tree=site.of("alice", ledger))
        assert error.value.kind is Kind.QUOTA
        assert settle(site, ledger=QuotaLedger(account, ENDLESS)).fate is Fate.PUBLISHED
        assert (account.used.bytes, account.used.files) == (10, 1)
        (site.root / "in" / "a").unlink()
    site.words = {b"bad": b"Bad FOUND"}
    accounts.count(account)
    upload(site, "/in/a", b"bad", tree=site.of("alice", ledger))
    assert account.used.bytes == 3
    assert settle(site, ledger=QuotaLedger(account, ENDLESS)).fate is Fate.QUARANTINED
    assert (account.used.bytes, account.used.files) == (0, 0)


def test_time_and_mode_go_with_it(site: Site) -> None:
    """Those that its client sets behind the upload; another user's are about the file that all see."""
    upload(site, "/in/a", b"first")
    assert settle(site).fate is Fate.PUBLISHED
    published = (site.root / "in" / "a").stat()
    upload(site, "/in/a", b"second")
    upload(site, "/in/new", b"new")
    assert site.storage.set_modified(at("/in/a"), 5 * 10**9) == 5 * 10**9
    assert site.storage.set_mode(at("/in/new"), 0o600) == 0o600
    assert (site.root / "in" / "a").stat().st_mtime_ns == published.st_mtime_ns
    assert site.of("bob").set_modified(at("/in/a"), 7 * 10**9) == 7 * 10**9
    with pytest.raises(StorageError) as error:
        site.of("bob").set_mode(at("/in/new"), 0o600)
    assert error.value.kind is Kind.NOT_FOUND
    upload(site, "/in/a", b"third")
    assert [settle(site).fate for _ in range(2)] == [Fate.PUBLISHED] * 2
    assert (site.root / "in" / "a").stat().st_mtime_ns == 5 * 10**9
    assert (site.root / "in" / "new").stat().st_mode & 0o777 == 0o600
    assert settle(site).fate is Fate.PUBLISHED
    assert (get(site.storage, "/in/a"), verdicts(site)) == (b"third", [])


class Destroyed(type(PLAIN)):  # type: ignore[misc]
    """Content whose key was destroyed, or is missing."""

    reason = Reason.DESTROYED_KEY

    def length(self, stored: int) -> int:
        """Raise."""
        raise DamagedError(self.reason)


def test_one_that_nobody_can_read(site: Site) -> None:
    """It does not wait for ever: the key was destroyed. One whose key is missing does: it may come back."""
    upload(site, "/in/a", b"data")
    content = Destroyed()
    content.reason = Reason.MISSING_KEY
    assert settle(site, content=content).fate is Fate.WAITS
    content.reason = Reason.DESTROYED_KEY
    assert settle(site, content=content).fate is Fate.QUARANTINED
    assert [(record.verdict, record.found) for record in site.quarantine.records()] == [("unreadable", "destroyed-key")]


def test_a_backlog_is_read_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait, each record is read so and so many times: not once for each other one."""
    for number in range(30):
        upload(site, f"/in/{number}", b"data")
    reads = []
    real = json.loads

    def counted(text: str) -> object:
        reads.append(text)
        return real(text)

    monkeypatch.setattr("ftpsd.scanning.quarantine.json.loads", counted)
    for _ in range(30):
        assert settle(site).fate is Fate.PUBLISHED
    assert len(reads) <= 8 * 30


def test_another_place(site: Site, tmp_path: Path) -> None:
    """An upload that waits in one that was moved from is brought to the new one, as far as there is room."""
    upload(site, "/in/a", b"data")
    upload(site, "/in/b", b"much data", tree=site.of("bob"))
    new = HiddenPlace(tmp_path / "new", 4 * 8)
    for file in site.hidden.directory.glob("*/*"):  # as it was before there were directories of users
        file.rename(site.hidden.directory / file.name)
    assert new.adopt(site.hidden) == ({str(site.root)}, 1)
    assert ([record.path for record in new.records()], site.hidden.size()) == (["/in/a"], (1, 9))
    bigger = HiddenPlace(tmp_path / "new", 1 << 20)
    assert bigger.adopt(site.hidden) == ({str(site.root)}, 0)
    assert (bigger.size(), site.hidden.size()) == ((2, 13), (0, 0))
    site.hidden = bigger
    assert [settle(site).fate for _ in range(2)] == [Fate.PUBLISHED] * 2
    assert get(site.storage, "/in/b") == b"much data"


def test_another_place_while_one_is_settled(site: Site, tmp_path: Path) -> None:
    """What is to follow it under its name stays with it: uploads get there in their order."""
    for path in ("/in/a", "/in/a", "/in/b"):
        upload(site, path, b"data")
    new = HiddenPlace(tmp_path / "new", 1 << 20)
    first, *_ = site.hidden.records()
    new.adopt(site.hidden, frozenset({first.incident}))
    assert [record.path for record in site.hidden.records()] == ["/in/a", "/in/a"]
    assert [record.path for record in new.records()] == ["/in/b"]
