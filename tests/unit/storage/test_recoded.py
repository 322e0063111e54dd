"""Old trees: names on disk in another charset, shown as UTF-8, and no name with two spellings."""

from __future__ import annotations

import encodings
import os
import pkgutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.config.users import Mount, UserRecord
from ftpsd.storage.base import Kind, Storage, StorageError, Terms
from ftpsd.storage.disk.names import decode_name
from ftpsd.storage.guarded import GuardedStorage
from ftpsd.storage.jail import LocalJail
from ftpsd.storage.mounts import MountedStorage
from ftpsd.storage.quota.account import QuotaAccount
from ftpsd.storage.quota.change import QuotaLedger
from ftpsd.storage.recoded import RecodedStorage, StoredNames
from ftpsd.storage.uploads.policy import UploadPolicy
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import ALL
from ftpsd.values.quota import Quota
from ftpsd.values.rule import Rule
from ftpsd.wire.charset import charset_of
from tests.contracts.storages import at, get, kind_of, names, put

NAME = "中文"
# In these Python writes letters with more than one byte.
MANY_LETTERS = [
    "big5",
    "big5hkscs",
    "cp932",
    "cp949",
    "cp950",
    "euc_jis_2004",
    "euc_jisx0213",
    "euc_jp",
    "euc_kr",
    "gb18030",
    "gb2312",
    "gbk",
    "johab",
    "shift_jis",
]


def is_component(name: str | bytes) -> bool:
    """Tell whether a directory can hold *name*."""
    data = name.encode() if isinstance(name, str) else name
    return data not in (b".", b"..") and b"/" not in data and b"\0" not in data


def is_sendable(name: str) -> bool:
    """Tell whether a client can send *name*: a component whose surrogates all stand for bytes."""
    try:
        return is_component(name.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return False


@pytest.fixture
def tree(tmp_path: Path) -> bytes:
    """The folder, as bytes."""
    return os.fsencode(tmp_path)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A tree in GBK."""
    return RecodedStorage(LocalJail.open(tmp_path, uploads=UploadPolicy(durable=False), owner="u"), "gbk")


@pytest.mark.parametrize("encoding", ["gbk", "cp932", "big5", "shift_jis", "cp1251", "ascii"])
@given(data=st.binary(min_size=1, max_size=12).filter(is_component))
def test_every_name_on_disk_comes_back(encoding: str, data: bytes) -> None:
    """Byte for byte, also where the charset knows two spellings of a letter (cp932) or none."""
    known = StoredNames(encoding)
    name = decode_name(data)
    assert known.stored(known.shown(name)) == name


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(is_component))
def test_every_name_of_the_charset_comes_back(text: str) -> None:
    """A name that can be stored is shown as it was."""
    known = StoredNames("gb18030")
    assert known.shown(known.stored(text)) == text


def is_accepted(codec: str) -> bool:
    """Tell whether the configuration takes *codec* for a tree."""
    try:
        return not charset_of(codec).is_utf8
    except ValueError:
        return False


OF_PYTHON = {module.name for module in pkgutil.iter_modules(encodings.__path__)} - {"unicode_escape"}


@pytest.fixture(scope="module")
def accepted() -> list[str]:
    """Every codec of Python's that is; to examine one takes too long for an example."""
    return sorted(filter(is_accepted, OF_PYTHON))


@pytest.mark.slow
@given(data=st.data())
def test_in_every_charset_a_name_has_one_spelling(accepted: list[str], data: st.DataObject) -> None:
    """Two names never mean the same bytes, and no bytes are without a name, whatever the codec and the text."""
    known = StoredNames(data.draw(st.sampled_from(accepted), "codec"))
    on_disk = decode_name(data.draw(st.binary(min_size=1, max_size=12).filter(is_component)))
    assert known.stored(known.shown(on_disk)) == on_disk
    text = data.draw(st.text(min_size=1, max_size=4).filter(is_sendable))
    with suppress(StorageError):
        assert known.shown(known.stored(text)) == text


@pytest.mark.parametrize("codec", MANY_LETTERS)
def test_no_two_letters_share_their_bytes(codec: str) -> None:
    """Letter by letter, in the charsets in which Python writes several as one."""
    known, seen = StoredNames(codec), dict[str, str]()
    for letter in map(chr, (*range(0x80, 0xD800), *range(0xE000, 0x10000))):
        with suppress(StorageError):
            assert seen.setdefault(known.stored(letter), letter) == letter
    assert len(seen) > 6000


@pytest.mark.parametrize(
    ("codec", "shown", "second"),
    [
        ("cp932", "～", "〜"),
        ("cp932", "￢", "¬"),
        ("shift_jis", "\\", "¥"),
        ("euc_jp", "~", "‾"),
        ("cp950", "￥", "¥"),
    ],
)
def test_no_second_letter_passes_a_rule_by(tmp_path: Path, codec: str, shown: str, second: str) -> None:
    """Neither reads nor deletes, overwrites or renames what a rule denies under the letter that is shown."""
    jail = RecodedStorage(LocalJail.open(tmp_path, uploads=UploadPolicy(durable=False), owner="u"), codec)
    put(jail, f"/{shown}", b"secret")
    denied = GuardedStorage(jail, [Rule(f"/{shown}", frozenset()), Rule("/**", ALL)])
    path = at(f"/{second}")
    for attempt in (denied.open_source, denied.remove_file, denied.open_sink, denied.stat):
        assert kind_of(attempt, path) is Kind.BAD_NAME
    assert kind_of(denied.rename, path, at("/mine")) is Kind.BAD_NAME
    assert get(jail, f"/{shown}") == b"secret"


def test_files_are_stored_in_the_charset(storage: Storage, tree: bytes) -> None:
    """Uploads, directories, renames: bytes of the charset on disk, text for the user."""
    put(storage, f"/{NAME}", b"1")
    storage.make_directory(at("/目录"))
    storage.rename(at(f"/{NAME}"), at(f"/目录/{NAME}"))
    assert os.listdir(tree) == ["目录".encode("gbk")]
    assert os.listdir(os.path.join(tree, "目录".encode("gbk"))) == [NAME.encode("gbk")]
    assert names(storage, "/目录") == [NAME]
    assert get(storage, f"/目录/{NAME}") == b"1"
    assert storage.stat(at("/目录")).name == "目录"


def test_names_that_are_not_of_the_charset_are_shown_byte_for_byte(storage: Storage, tree: bytes) -> None:
    """And can be read, renamed and deleted by that."""
    for data in (b"\xff\xfe", b"\x81"):
        with open(os.path.join(tree, data), "wb") as file:
            file.write(data)
    assert names(storage) == ["\udc81", "\udcff\udcfe"]
    assert get(storage, "/\udcff\udcfe") == b"\xff\xfe"
    storage.rename(at("/\udcff\udcfe"), at(f"/{NAME}"))
    assert NAME.encode("gbk") in os.listdir(tree)


def test_a_name_has_one_spelling(storage: Storage, tree: bytes) -> None:
    """The raw bytes of a name that can be shown are refused: rules are about the name that is shown."""
    put(storage, f"/{NAME}", b"1")
    raw = NAME.encode("gbk").decode("ascii", "surrogateescape")
    denied = GuardedStorage(storage, [Rule(f"/{NAME}", frozenset()), Rule("/**", ALL)])
    assert kind_of(denied.open_source, at(f"/{NAME}")) is Kind.NOT_FOUND
    assert kind_of(denied.open_source, at(f"/{raw}")) is Kind.BAD_NAME
    assert kind_of(storage.open_source, at(f"/{raw}")) is Kind.BAD_NAME


@pytest.mark.parametrize("name", ["😀", "ñ", "中\udcff"])
def test_names_the_charset_does_not_have(storage: Storage, name: str) -> None:
    """They are refused: they could not be shown as what they were."""
    assert kind_of(storage.make_directory, at(f"/{name}")) is Kind.BAD_NAME
    assert kind_of(storage.open_sink, at(f"/{name}")) is Kind.BAD_NAME
    assert kind_of(storage.stat, at(f"/{name}")) is Kind.BAD_NAME


def test_bytes_that_the_charset_calls_controls_are_raw(tmp_path: Path) -> None:
    """In latin-1 0x85 is a control character, which no name holds: the file is shown, and reached, byte for byte."""
    (tmp_path / "a\udc85b").write_bytes(b"1")
    storage = RecodedStorage(LocalJail.open(tmp_path, uploads=UploadPolicy(durable=False), owner="u"), "latin-1")
    assert names(storage) == ["a\udc85b"]
    assert get(storage, "/a\udc85b") == b"1"


def test_errors_speak_of_the_name_that_is_shown(storage: Storage) -> None:
    """For the audit log."""
    with pytest.raises(StorageError) as caught:
        storage.stat(at(f"/{NAME}"))
    assert caught.value.path == at(f"/{NAME}")


def test_unique_names(storage: Storage, tree: bytes) -> None:
    """The name that is chosen is whole in the charset."""
    sink = storage.open_sink(at(f"/{NAME * 60}.txt"), Terms(unique=True))
    sink.commit()
    assert sink.path.name.startswith(NAME)
    assert os.listdir(tree) == [sink.path.name.encode("gbk")]


def test_long_names(storage: Storage, tree: bytes) -> None:
    """255 bytes on disk are three times as many in UTF-8, and can be reached all the same."""
    name = NAME * 63
    put(storage, f"/{name}", b"1")
    assert names(storage) == [name]
    assert get(storage, f"/{name}") == b"1"
    assert kind_of(storage.stat, at(f"/{name}文文")) is Kind.BAD_NAME


def test_a_record_says_utf_8_unless_told() -> None:
    """For homes, mounts and clients."""
    record = UserRecord(name="a", password=None, home=Path("/h"))
    assert (record.encoding, record.stored_encoding) == ("utf-8", "utf-8")
    assert Mount(VirtualPath(("m",)), Path("/m")).stored_encoding == "utf-8"


def test_small_files_are_read_from_memory(tmp_path: Path, tree: bytes) -> None:
    """By the user's name, which the result keeps; what cannot be a name there, or is the server's own, is not."""
    jail = LocalJail.open(tmp_path, uploads=UploadPolicy(durable=False), owner="u")
    storage = MountedStorage(jail, {at("/old"): RecodedStorage(jail, "gbk")})
    with open(os.path.join(tree, NAME.encode("gbk")), "wb") as file:
        file.write(b"text")
    (tmp_path / ".ftpsd-mine").write_bytes(b"own")
    assert storage.read_cached(at("/old/.ftpsd-mine"), 100) is None
    raw = NAME.encode("gbk").decode("utf-8", "surrogateescape")
    plain = jail.read_cached(at(f"/{raw}"), 100)
    found = storage.read_cached(at(f"/old/{NAME}"), 100)
    assert (plain is None) == (found is None)  # not every file system answers at once
    if found is not None:
        assert (str(found.path), found.content, found.digests) == (f"/old/{NAME}", b"text", True)
    assert storage.read_cached(at(f"/old/{raw}"), 100) is None  # the other spelling of the same name
    assert storage.read_cached(at("/old/\N{GRINNING FACE}"), 100) is None


def test_sources_and_quota_are_those_behind(tmp_path: Path) -> None:
    """The jail behind tells the digest, and how the quota stands, which a partial counts for too."""
    account = QuotaAccount(tmp_path)
    account.count()
    jail = LocalJail.open(
        tmp_path,
        uploads=UploadPolicy(durable=False, digests=True),
        owner="u",
        ledger=QuotaLedger(account, Quota(bytes=10, files=2)),
    )
    storage = RecodedStorage(jail, "gbk")
    put(storage, f"/{NAME}", b"1234")
    source = storage.open_source(at(f"/{NAME}"))
    assert source.digests
    source.close()
    sink = storage.open_sink(at("/目录"))
    sink.write(memoryview(b"56"))
    sink.abort()
    standing = storage.standing(at(f"/{NAME}"))
    assert standing is not None
    assert (standing.used.bytes, standing.used.files, storage.free_bytes(at("/"))) == (6, 2, 4)
    assert kind_of(storage.open_sink, at("/third")) is Kind.QUOTA
    assert kind_of(storage.standing, at("/\N{GRINNING FACE}")) is Kind.BAD_NAME
