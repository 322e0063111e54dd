"""No message repeats a password or a piece of a hash, whatever is wrong with the file that holds it."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.config.editing.edit import EditRefused, locked
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.config.parsing.hiding import could_be_secret, could_be_secret_key, is_word
from ftpsd.config.reading import read_config
from ftpsd.config.users import read_users

SALT, DIGEST = "c29tZVNhbHRPZk91cnM", "UU0VDUkVURElHRVNUb2Zzb21lYm9keXM5Zm9yYWxsdG9zZWU"
HASHES = [
    f"$argon2id$v=19$m=65536,t=3,p=4${SALT}${DIGEST}",
    f"$6$rounds=10000,x${SALT}${DIGEST}",
    f"$2b$12${SALT}{DIGEST}",
    f"$y$j9T${SALT}${DIGEST}",
]
USERS = """\
roles:
  partner:
    rules:
      - {path: /outbox/**, allow: [list, read]}
users:
  alice:
    password: HASH
    home: /srv/alice
    role: partner
    mounts: [{path: /shared, directory: /srv/shared}]
    networks: [192.0.2.0/24]
    quota: {bytes: 10GiB, files: 10}
    expires: 2030-12-31
    enabled: true
  bob: {password: HASH, home: /srv/bob, sessions: 3}
"""
CONFIG = """\
listeners: [{mode: explicit, port: 21}]
tls:
  certificate: cert.pem
  minimum_version: "1.2"
passive: {ports: 3000-3050, public_address_for: [{networks: [10.0.0.0/8], address: 10.0.0.5}]}
users: users.yaml
limits: {connections: 20, idle_timeout: 5m, upload_rate: unlimited}
uploads: {mode: atomic, umask: "077"}
audit: {log: stdout}
metrics: {port: 9121}
banner: Hello
virtual_hosts: [{names: [a.example.com], users: others.yaml}]
"""
SHADOW = f"""\
root:$y$j9T${SALT}${DIGEST}:19000:0:99999:7:::
daemon:*:19000:0:99999:7:::
alice:$6${SALT}${DIGEST}:19000:0:99999:7:::
"""
PIECES = st.sampled_from([*"{}[]:,-&*!|>'\"#%@`?~\n \t\\", ": ", ", ", "\n  ", " #", "- ", "!!", "*a", "&a"])


def said(text: str, *, users: bool) -> str:
    """Return all that is said about *text*, and about the exception that says it."""
    try:
        (read_users if users else read_config)(text, "file.yaml", Path("/nowhere"))
    except ConfigErrors as errors:
        told = [str(errors), repr(errors)]
        cause: BaseException | None = errors.__cause__
        while cause is not None:
            told += [str(cause), repr(cause)]
            cause = cause.__cause__
        return "\n".join(told)
    return ""


def leaks(told: str, secret: str) -> bool:
    """Tell whether something of *secret* stands in *told*: four characters in a row of its salt or digest."""
    words = [word for word in re.split(r"[$,=]", secret) if len(word) > 8]
    return any(word[at : at + 6] in told for word in words for at in range(len(word) - 5))


# --- the ways to write it wrong that people have found


@pytest.mark.parametrize(
    "text",
    [
        "users: {alice: {password: HASH, home: /srv/alice}}",
        "users: {alice: {home: /srv/alice, password: HASH}}",
        "users:\n  alice: {password: HASH, home: /srv/alice}",
        "users: {alice: HASH}",
        "users: {HASH: {home: /srv}}",
        "users: {alice: {HASH: x}}",
        "users:\n  alice:\n  password: HASH\n  home: /srv/alice",
        "users:\n  alice: HASH\n",
        "users:\n  alice:\n    home: HASH\n    password: /srv/alice\n    enabled: maybe",
        "users:\n  alice:\n    role: HASH\n    home: /srv",
        "users:\n  alice:\n    home: /srv\n    enabled: HASH",
        "users:\n  alice:\n    home: /srv\n    quota: {bytes: HASH}",
        "users:\n  alice:\n    home: /srv\n    networks: [HASH]",
        "users:\n  alice:\n    home: /srv\n    mounts: [{path: HASH, directory: HASH}]",
        "users:\n  alice:\n    pasword: HASH\n    home: /srv",
        "users:\n  alice:\n    password: 'HASH\n    home: /srv",
        'users:\n  alice:\n    password: "HASH\\q"\n    home: /srv',
        "users:\n  alice:\n    password: HASH: x\n    home: /srv",
        "users:\n  alice:\n\tpassword: HASH\n",
        "users:\n  alice:\n    password: [HASH]\n    home: /srv",
        "users:\n  alice:\n    password: !HASH\n    home: /srv",
        "users:\n  alice:\n    password: *HASH\n    home: /srv",
        "users:\n  alice:\n    password: &HASH x\n    home: /srv",
        "users:\n  alice:\n    password: %HASH\n    home: /srv",
        "roles: {r: {rules: [{path: HASH, allow: HASH}]}}",
        "roles: {r: {rules: [{path: /, allow: [HASH]}]}}",
        "HASH: 1\nHASH: 2\n",
        "HASH:\n",
        "HASH",
        "- HASH",
        "? HASH\n",
        "users: {a: {home: /h, role: b}}\nroles: {HASH: {rules: []}}",
    ],
)
def test_no_piece_of_a_hash_is_repeated(text: str) -> None:
    """In flow style it falls apart at its commas; elsewhere it stands where something else should."""
    for stored, is_users in product(HASHES, (True, False)):
        told = said(text.replace("HASH", stored), users=is_users)
        assert not leaks(told, stored), told


@pytest.mark.parametrize(
    "text",
    [
        "users:\n  alice:\n  password: PLAIN\n",
        "users: {alice: PLAIN}",
        "users:\n  alice: PLAIN\n",
        "users: {alice: {password: PLAIN}}",
        "users: {alice: {password: x,PLAIN, home: /h}}",
        "users: {alice: {password: x, *PLAIN , home: /h}}",
        "users: {alice: {password: [PLAIN], home: /h}}",
        "users: {alice: {password: *PLAIN , home: /h}}",
        "users: {alice: {password: !PLAIN x, home: /h}}",
        "users: {alice: {password: &PLAIN x, home: /h}}",
        "users: {alice: {PASSWORD: PLAIN, passwd: PLAIN, home: /h}}",
        "password: PLAIN",
        "machine ftp.example.com login alice password PLAIN",
        "localhost:21:*:alice:PLAIN",
        "alice:PLAIN:\nbob:PLAIN:\n",
        "DATABASE=postgres://alice:PLAIN@host/db",
        "PLAIN",
    ],
)
def test_no_password_is_repeated(text: str) -> None:
    """Written where its hash belongs, or in a file of another program that was named by mistake."""
    for password, is_users in product(("hunter2", "Tr0ub4dor", "12345678", "correcthorse"), (True, False)):
        assert password not in said(text.replace("PLAIN", password), users=is_users)


def test_lines_of_etc_shadow_are_not_repeated() -> None:
    """Each is a key to YAML. Line and column are told, and neither names nor hashes."""
    for is_users in (True, False):
        told = said(SHADOW, users=is_users)
        assert "file.yaml:1:1: (not shown)" in told
        assert not re.search(rf"root|daemon|alice|19000|{SALT}|{DIGEST}", told)


# --- wherever it stands


@given(st.data(), st.sampled_from(HASHES), st.booleans())
def test_a_hash_anywhere_in_a_broken_file(data: st.DataObject, stored: str, is_users: bool) -> None:
    """Wherever a hash is put into a good file, and whatever else is changed there, nothing of it is repeated."""
    text = (USERS if is_users else CONFIG).replace("HASH", stored)
    at = data.draw(st.integers(0, len(text)))
    until = at + data.draw(st.integers(0, 12))
    before, behind = data.draw(st.lists(PIECES, max_size=3)), data.draw(st.lists(PIECES, max_size=3))
    text = text[:at] + "".join(before) + stored + "".join(behind) + text[until:]
    told = said(text, users=is_users)
    assert not leaks(told, stored), (text, told)


@given(st.lists(st.one_of(PIECES, st.sampled_from(["users", "password", "home", "/h", "x", *HASHES])), max_size=12))
def test_a_hash_in_any_text(pieces: list[str]) -> None:
    """The same in a text that is no configuration at all."""
    text = "".join(pieces)
    for stored in HASHES:
        told = said(text, users=True) + said(text, users=False)
        assert not leaks(told, stored), (text, told)


@pytest.mark.parametrize("stored", HASHES)
def test_refused_changes(tmp_path: Path, stored: str) -> None:
    """`ftpsd user` reads the same file."""
    file = tmp_path / "users.yaml"
    file.write_text(f"users: {{alice: {{password: {stored}, home: /h, x: 1, t=3}}}}")
    for change in ("add", "remove", "password"):
        with pytest.raises((ConfigErrors, EditRefused)) as refused:
            changed(file, change, stored)
        assert not leaks(str(refused.value), stored)


def changed(file: Path, change: str, stored: str) -> None:
    """Change the users in *file*."""
    with locked(file) as edit:
        if change == "add":
            edit.add("bob", {"password": stored, "home": "/h"})
        elif change == "remove":
            edit.remove("alice")
        else:
            edit.set_password("alice", stored)


# --- what is said instead


def test_a_hash_without_quotes_is_told_once() -> None:
    """With the place where it fell apart, and the quotes that it needs."""
    (line,) = said(f"users: {{alice: {{password: {HASHES[0]}, home: /h}}}}", users=True).splitlines()[:1]
    assert line.startswith("file.yaml:1:50: users.alice.(not shown): the end of a value")
    assert "'single quotes'" in line
    assert len(said(f"users: {{a: {{password: {HASHES[0]}, home: /h}}}}", users=True).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "users: {alice: {pasword: x, home: /h}}",
            "users.alice.pasword: not a key of users.alice; did you mean password?",
        ),
        ("users: {alice: {home: /h, enabled: no}}", "must be true or false, not no"),
        ("users: {alice: {home: /h, sessions: 10x}}", "not 10x"),
        ("users: {alice.smith@example.com: {}}", "users.alice.smith@example.com.home: missing"),
        ("users: {alice: {home: /h, role: partnr}}", "there is no role partnr"),
    ],
)
def test_mistakes_are_still_told(text: str, told: str) -> None:
    """A text that could be no secret is repeated, so that people see what they have written."""
    assert told in said(text, users=True)


@pytest.mark.parametrize("stored", HASHES[:3])
def test_records_do_not_show_it(stored: str) -> None:
    """Neither the records nor what they are made from."""
    users = read_users(f"users: {{alice: {{password: '{stored}', home: /h}}}}", "users.yaml", Path("/nowhere"))
    assert not leaks(repr(users) + repr(users.users) + repr(users.document), stored)


@pytest.mark.parametrize(
    "text",
    [*HASHES, SALT, DIGEST, "p=4$x", "d41d8cd98f00b204e9800998ecf8427e", "a" * 40 + "1" * 40, "x" * 65 + " x"],
)
def test_what_could_be_a_secret(text: str) -> None:
    """Hashes, their pieces, digests and long texts."""
    assert could_be_secret(text)
    assert not is_word(text)


@pytest.mark.parametrize(
    "text",
    [
        "alice",
        "alice.smith@example.com",
        "Müller GmbH",
        "10GiB",
        "/srv/ftpsd/alice",
        "data_session_reuse",
        "2030-12-31",
    ],
)
def test_what_could_not(text: str) -> None:
    """Names, paths, numbers with units."""
    assert not could_be_secret(text)
    assert not could_be_secret_key(text)
