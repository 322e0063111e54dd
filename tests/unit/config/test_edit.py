"""Editing users.yaml: the change, the whole change and nothing but the change."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsd.config.editing import splice
from ftpsd.config.editing.edit import EditRefused, locked
from ftpsd.config.parsing.document import ConfigErrors, parse
from ftpsd.config.users import load_users
from tests.tools import ROOT
from tests.unit.config.samples import HASH, users

FILE = """\
# People of ours.
roles:
  r: {rules: [{path: /, allow: all}]}   # everything

users:

  # Alice is from sales.
  alice:
    home: /h/alice      # big
    role: r
    # (until March)

  bob: {home: /h/bob, password: $6$a$b}

# The end.
"""
NEW = {"password": HASH, "home": "/h/new"}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "users.yaml"
    path.write_bytes(text.encode())
    path.chmod(0o640)
    return path


def add(path: Path, name: str = "new", **settings: str) -> str:
    with locked(path) as file:
        file.add(name, settings or NEW)
        file.save()
    return path.read_bytes().decode()


def set_password(path: Path, name: str) -> str:
    with locked(path) as file:
        file.set_password(name, HASH)
        file.save()
    return path.read_bytes().decode()


def remove(path: Path, name: str) -> str:
    with locked(path) as file:
        file.remove(name)
        file.save()
    return path.read_bytes().decode()


def test_a_user_is_appended_behind_the_last(tmp_path: Path) -> None:
    """Everything else stays, comments and empty lines included."""
    block = f'\n  new:\n    password: "{HASH}"\n    home: /h/new\n'
    line = "  bob: {home: /h/bob, password: $6$a$b}\n"
    assert add(write(tmp_path, FILE)) == FILE.replace(line, line + block)


def test_a_password_is_inserted(tmp_path: Path) -> None:
    """A user without a password gets one above the other keys."""
    line = "    home: /h/alice      # big\n"
    assert set_password(write(tmp_path, FILE), "alice") == FILE.replace(line, f'    password: "{HASH}"\n{line}')


def test_a_password_is_replaced(tmp_path: Path) -> None:
    """In flow style the hash is quoted, because it holds commas."""
    assert set_password(write(tmp_path, FILE), "bob") == FILE.replace("$6$a$b", f'"{HASH}"')


def test_a_user_is_removed_with_the_comments_inside(tmp_path: Path) -> None:
    """The comment above a user stays: nobody knows whether it is about one user or many."""
    block = "  alice:\n    home: /h/alice      # big\n    role: r\n    # (until March)\n"
    assert remove(write(tmp_path, FILE), "alice") == FILE.replace(block, "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "users:\n  new:\n    home: /n\n"),
        ("# none\n", "# none\nusers:\n  new:\n    home: /n\n"),
        ("users:\n", "users:\n  new:\n    home: /n\n"),
        ("users:", "users:\n  new:\n    home: /n\n"),
        ("users: # nobody\nroles:\n", "users: # nobody\n  new:\n    home: /n\nroles:\n"),
        ("users: {}  # nobody\n", "users:  # nobody\n  new:\n    home: /n\n"),
        ("users: {a: {home: /a}}\n", "users: {new: {home: /n}, a: {home: /a}}\n"),
        ("{}", "{users: {new: {home: /n}}}"),
        ("{roles: {}}", "{users: {new: {home: /n}}, roles: {}}"),
        ("users:\n    a:\n        home: /a", "users:\n    a:\n        home: /a\n    new:\n      home: /n\n"),
        ("users:\r\n  a:\r\n    home: /a\r\n", "users:\r\n  a:\r\n    home: /a\r\n  new:\r\n    home: /n\r\n"),
        ("roles: {}\n", "roles: {}\nusers:\n  new:\n    home: /n\n"),
        ("users:\n  a:\n    home: /a\nroles: {}\n", "users:\n  a:\n    home: /a\n  new:\n    home: /n\nroles: {}\n"),
        ("users:\n  a:\n    home: |-\n      /a\n", "users:\n  a:\n    home: |-\n      /a\n  new:\n    home: /n\n"),
        ("\ufeffusers:\n  a: {home: /a}\n", "\ufeffusers:\n  a: {home: /a}\n  new:\n    home: /n\n"),
    ],
)
def test_the_layout_of_the_file_is_kept(tmp_path: Path, before: str, after: str) -> None:
    """A user goes where the file has its users, in its style and with its line ends."""
    assert add(write(tmp_path, before), home="/n") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("users: {a: {home: /a}, b: {home: /b}}\n", "users: {b: {home: /b}}\n"),
        ("users: {b: {home: /b}, a: {home: /a}}\n", "users: {b: {home: /b}}\n"),
        ("users: {a: {home: /a}}\n", "users: {}\n"),
        ("users:\n  a: {home: /a}\n", "users:\n"),
        ("users:\n  a:\n    home: /a", "users:\n"),
        ("users:\r\n  a:\r\n    home: /a\r\n  b: {home: /b}\r\n", "users:\r\n  b: {home: /b}\r\n"),
    ],
)
def test_a_user_is_cut_out_of_any_layout(tmp_path: Path, before: str, after: str) -> None:
    """The rest is the file without the user."""
    assert remove(write(tmp_path, before), "a") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("users: {a: {home: /a}}", f'users: {{a: {{password: "{HASH}", home: /a}}}}'),
        ("users:\n  a:\n    password:\n    home: /a\n", f'users:\n  a:\n    password: "{HASH}"\n    home: /a\n'),
        (
            "users:\n  a:\n    password: '$6$a$b' # x\n    home: /a\n",
            f'users:\n  a:\n    password: "{HASH}" # x\n    home: /a\n',
        ),
        (
            "users:\n  a:\n    password: >-\n      $6$a$b\n    home: /a\n",
            f'users:\n  a:\n    password: "{HASH}"\n    home: /a\n',
        ),
    ],
)
def test_a_password_is_set_in_any_layout(tmp_path: Path, before: str, after: str) -> None:
    """A hash replaces whatever was written, or nothing."""
    assert set_password(write(tmp_path, before), "a") == after


def test_what_cannot_be_edited_safely_is_refused(tmp_path: Path) -> None:
    """A layout that is not understood stays as it is."""
    text = "users:\n  ? a\n  : home: /a\n"
    path = write(tmp_path, text)
    with pytest.raises(EditRefused, match="change it by hand"):
        remove(path, "a")
    assert path.read_text() == text


def test_a_broken_file_is_not_edited(tmp_path: Path) -> None:
    """A file that does not load is told, and not touched."""
    path = write(tmp_path, "users: {a: {hom: /a}}")
    with pytest.raises(ConfigErrors, match=r"users\.a\.hom"):
        add(path)
    assert path.read_text() == "users: {a: {hom: /a}}"


def test_a_user_is_not_added_twice(tmp_path: Path) -> None:
    """Adding somebody who is there is refused."""
    with pytest.raises(EditRefused, match="has a user alice already"):
        add(write(tmp_path, FILE), "alice")


@pytest.mark.parametrize("change", [set_password, remove])
def test_nobody_is_not_changed(tmp_path: Path, change: Callable[[Path, str], str]) -> None:
    """Changing somebody who is not there is refused."""
    with pytest.raises(EditRefused, match="has no user zoe"):
        change(write(tmp_path, FILE), "zoe")


@pytest.mark.parametrize("name", ["", "a\nb", "a" * 256, "\x7f"])
def test_a_name_no_user_can_have_is_refused(tmp_path: Path, name: str) -> None:
    """A name that the file could not hold is never written."""
    with pytest.raises(EditRefused, match="a user name"):
        add(write(tmp_path, FILE), name)


def test_a_home_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """A path with bytes that are no text cannot be written into a text file."""
    with pytest.raises(EditRefused, match="UTF-8"):
        add(write(tmp_path, FILE), home="/h/\udcff")


def test_a_role_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The file is checked with the change in it, before it is written."""
    with pytest.raises(ConfigErrors, match="there is no role rr"):
        add(write(tmp_path, FILE), home="/n", role="rr")


def test_mode_and_owner_are_kept(tmp_path: Path) -> None:
    """The new file can be read by whoever could read the old one."""
    path = write(tmp_path, FILE)
    before = path.stat()
    add(path)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_of_a_file_of_somebody_else_is_kept(tmp_path: Path) -> None:
    """root may edit the daemon's file without taking it away from the daemon."""
    path = write(tmp_path, FILE)
    os.chown(path, 1234, 1235)
    add(path)
    lock = (tmp_path / ".users.yaml.lock").stat()
    assert (path.stat().st_uid, path.stat().st_gid, lock.st_uid) == (1234, 1235, 1234)


def test_a_new_file_is_closed_to_others(tmp_path: Path) -> None:
    """A users file that is made here is for its owner only."""
    path = tmp_path / "users.yaml"
    assert list(users(add(path)).users) == ["new"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The file behind a link is replaced, not the link."""
    path = write(tmp_path, FILE)
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    add(link)
    assert link.is_symlink()
    assert "new" in load_users(path).users


def test_a_file_that_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    """An editor that knows no lock does not lose its work."""
    path = write(tmp_path, FILE)
    with locked(path) as file:
        file.add("new", NEW)
        path.write_text("users: {other: {home: /o}}")
        with pytest.raises(EditRefused, match="changed by another program"):
            file.save()
    assert list(load_users(path).users) == ["other"]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """Beside the file only its lock remains."""
    add(write(tmp_path, FILE))
    assert sorted(os.listdir(tmp_path)) == [".users.yaml.lock", "users.yaml"]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    """On a full disk the file stays as it was, and the temporary file is gone."""
    path = write(tmp_path, FILE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with locked(path) as file:
        file.add("new", NEW)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        try:
            with pytest.raises(EditRefused, match="cannot be written: File too large"):
                file.save()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == FILE
    assert sorted(os.listdir(tmp_path)) == [".users.yaml.lock", "users.yaml"]


@pytest.mark.slow
def test_many_at_once_lose_nobody(tmp_path: Path) -> None:
    """Processes that edit one file at the same time take turns."""
    path = write(tmp_path, FILE)
    program = (
        "import sys; from pathlib import Path; from ftpsd.config.editing.edit import locked\n"
        "for n in range(5):\n"
        "    with locked(Path(sys.argv[1])) as file: file.add(f'{sys.argv[2]}-{n}', {'home': '/n'}); file.save()\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, path, str(who)], cwd=ROOT) for who in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    assert len(load_users(path).users) == 2 + 4 * 5


TEXT = st.text(min_size=1, max_size=20).filter(str.strip)


@given(
    st.dictionaries(TEXT, TEXT, min_size=1, max_size=3), TEXT.filter(lambda name: name.strip() != "a"), st.booleans()
)
def test_any_text_is_written_so_that_it_is_read_back(settings: dict[str, str], name: str, flow: bool) -> None:
    """Names and values that look like numbers, booleans or syntax come back as the text they were."""
    before = "users: {a: {home: /a}}\n" if flow else "users:\n  a: {home: /a}\n"
    plain = {key.encode().hex(): value for key, value in settings.items()}
    text = splice.added(parse(before, "f"), name, plain)
    assert text is not None
    assert parse(text, "f").root.value["users"] == {"a": {"home": "/a"}, name: plain}
