"""Paths that a wrapper tells are spelt as its own user spells them, also those that are told later."""

from __future__ import annotations

import pytest

from ftpsd.storage.base import Kind, Storage, StorageError, Terms
from ftpsd.storage.forwarding import ForwardingStorage
from ftpsd.storage.recoded import RecodedStorage
from ftpsd.values.path import VirtualPath
from tests.contracts.storages import Below, at, get, names, put
from tests.fakes import MemoryStorage
from tests.memory import MemoryTree


@pytest.fixture
def tree() -> MemoryTree:
    """The tree that is stored."""
    return MemoryTree()


@pytest.fixture
def memory(tree: MemoryTree) -> MemoryStorage:
    """The storage that is wrapped: a file and a directory in /top."""
    memory = MemoryStorage(tree)
    memory.put("/top/a", b"12345")
    memory.put("/top/in/b", b"1")
    return memory


@pytest.fixture
def below(memory: MemoryStorage) -> Storage:
    """The wrapper: /top as a root."""
    return Below(memory, at("/top"))


def path_of(error: pytest.ExceptionInfo[StorageError]) -> VirtualPath | None:
    """Return the path that *error* speaks of."""
    return error.value.path


def test_nothing_is_changed_without_a_word(memory: MemoryStorage) -> None:
    """The base alone is the storage inside of it."""
    same = ForwardingStorage(memory)
    put(same, "/top/c", b"new")
    assert (get(memory, "/top/c"), names(same, "/top")) == (b"new", ["a", "c", "in"])


def test_errors_are_spelt_outward(below: Storage) -> None:
    """As the caller wrote the path."""
    with pytest.raises(StorageError) as caught:
        below.stat(at("/in/missing"))
    assert path_of(caught) == at("/in/missing")


def test_a_sink_says_the_outward_path(below: Storage, memory: MemoryStorage) -> None:
    """Where it will be published, as its user calls that."""
    sink = below.open_sink(at("/new"))
    sink.write(memoryview(b"x"))
    sink.commit()
    assert (sink.path, memory.get("/top/new")) == (at("/new"), b"x")


def test_a_sink_fails_outward(below: Storage, tree: MemoryTree) -> None:
    """Also when it is written, and when it is committed."""
    tree.room = 1
    sink = below.open_sink(at("/in/new"))
    with pytest.raises(StorageError) as caught:
        sink.write(memoryview(b"12"))
    assert (caught.value.kind, path_of(caught)) == (Kind.NO_SPACE, at("/in/new"))
    sink.abort()
    with pytest.raises(StorageError) as caught:
        sink.commit()
    assert path_of(caught) == at("/in/new")


def test_a_name_without_a_spelling_ends_its_upload(memory: MemoryStorage) -> None:
    """A unique name that the wrapper cannot say: nothing stays open, nothing is stored."""

    class Silent(ForwardingStorage):
        def outward(self, path: VirtualPath) -> VirtualPath:
            raise StorageError(Kind.BAD_NAME, path)

    with pytest.raises(StorageError) as caught:
        Silent(memory).open_sink(at("/top/a"), Terms(unique=True))
    assert (caught.value.kind, path_of(caught)) == (Kind.BAD_NAME, at("/top/a"))
    assert (names(memory, "/top"), memory.tree.active) == (["a", "in"], set())


def test_uploads_into_an_old_tree_fail_in_the_users_letters(tree: MemoryTree) -> None:
    """In the name that was asked for, not in the bytes on disk."""
    tree.room = 1
    sink = RecodedStorage(MemoryStorage(tree), "gbk").open_sink(at("/中文"))
    with pytest.raises(StorageError) as caught:
        sink.write(memoryview(b"12"))
    assert path_of(caught) == at("/中文")
