"""The sections of sources: each mistake is one sentence at its place, and no secret is in it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftpsd.config.checks.named_files import check_files
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.config.reading import read_config
from ftpsd.config.sources.single_user import Frame, single_user
from ftpsd.config.sources.source_files import PACKAGES, look_at_sources, read_source_files
from ftpsd.config.users import read_users
from ftpsd.values.login.second_factor import SecondFactor, read_secret

USERS = "roles: {uploader: {rules: [{path: /, allow: all}]}}\n"
LDAP = (
    "accounts: [file, ldap]\nldap: {servers: [ldaps://a], bind_dn: cn=a, bind_password_file: PASSWORD, "
    "search_base: dc=a, homes: [/srv], home: '/srv/{user}', roles: {cn=g: uploader}}"
)
PAM = "accounts: [file, pam]\npam: {homes: [/srv], home: '/srv/{user}', default_role: uploader}"
HTTP = "accounts: [file, http]\nhttp: {url: 'https://a', homes: [/srv]}"


def complaints(text: str, folder: Path, users: str = USERS) -> list[str]:
    """Return what is wrong with ftpsd.yaml."""
    try:
        config = read_config(text, "ftpsd.yaml", folder)
    except ConfigErrors as error:
        return [str(each) for each in error.errors]
    file = read_users(users, "users.yaml", folder)
    _, unreadable = read_source_files(config)
    return [str(each) for each in (*unreadable, *look_at_sources(config, [(config.accounts, file)]))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a password of the service."""
    path = tmp_path / "PASSWORD"
    path.write_text("hidden-4711\n")
    path.chmod(0o600)
    (tmp_path / "open").write_text("hidden-4711\n")
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "two").write_text("hidden-4711\nhidden-4712\n")
    (tmp_path / "two").chmod(0o600)
    return tmp_path


def test_good_ones(folder: Path) -> None:
    """Nothing to say."""
    for text in (LDAP, PAM, HTTP, "accounts: [file]", ""):
        assert complaints(text, folder) == [], text


MISTAKES = [
    ("accounts: []", "ftpsd.yaml:1:11: accounts: must not be empty"),
    ("accounts: [file, file]", "ftpsd.yaml:1:11: accounts: a source is named twice"),
    ("accounts: [file, ldpa]", "ftpsd.yaml:1:18: accounts[1]: ldpa is not known here; did you mean ldap?"),
    ("accounts: [file, ldap]", "ftpsd.yaml:1:18: accounts[1]: ldap has no section"),
    (PAM.replace("[file, pam]", "[file]"), "warning: pam: nobody is looked for there; add pam to accounts"),
    (LDAP.replace("ldaps://a", "a"), "ldap.servers[0]: a is not a server; write ldaps://"),
    (LDAP.replace("ldaps://a", "ldaps://a/dc=x"), "is not a server"),
    (LDAP.replace("ldaps://a", "ldaps://u:hidden-4711@a"), "a URL holds no password here; see bind_dn"),
    (LDAP.replace("[ldaps://a]", "[]"), "ldap.servers: must not be empty"),
    (LDAP.replace("/srv/{user}", "/srv"), "ldap.home: /srv needs {user} once"),
    (LDAP.replace("/srv/{user}", "/srv/{user}/../x"), "ldap.home: /srv/{user}/../x has . or .. in it"),
    (LDAP.replace("/srv/{user}", "/data/{user}"), "ldap.home: /data/{user} is not below /srv"),
    (LDAP.replace("[/srv]", "[/]"), "ldap.homes: / would let the source name any folder"),
    (
        LDAP.replace("cn=g: uploader", "cn=g: upload"),
        "there is no role upload in the users file; did you mean uploader?",
    ),
    (LDAP.replace("roles: {cn=g: uploader}", "roles: {}"), "ldap: no group has a role"),
    (LDAP.replace("PASSWORD", "none"), "ldap.bind_password_file"),
    (LDAP.replace("PASSWORD", "open"), "is open to others on this machine; run: chmod"),
    (LDAP.replace("PASSWORD", "two"), "does not hold one line of text"),
    (LDAP.replace("PASSWORD", "."), "cannot be read: Is a directory"),
    (LDAP.replace("bind_dn", "bind_password: hidden-4711, bind_dn"), "ldap.bind_password: not a key of ldap"),
    (LDAP.replace("bind_dn", "filter: (uid=x), bind_dn"), "ldap.filter: (uid=x) finds the same for every name"),
    (LDAP.replace("bind_dn", "filter: '(uid={user}', bind_dn"), "is not a search filter: a ) is missing"),
    (LDAP.replace("bind_dn", "authority: PASSWORD, bind_dn"), "holds no certificate in PEM form"),
    (LDAP.replace("bind_dn", "group_base: dc=a, bind_dn"), "ldap: group_base and group_filter go together"),
    (LDAP.replace("bind_dn", "defaults: {home: /x}, bind_dn"), "ldap.defaults: home: not a default"),
    (
        LDAP.replace("bind_dn", "defaults: {sesions: 1}, bind_dn"),
        "ldap.defaults: sesions: not a key of a user; did you",
    ),
    (HTTP.replace("https://a", "http://a"), "http.url: http:// would send passwords in clear"),
    (HTTP.replace("https://a", "https://u:hidden-4711@a"), "http.url: a URL holds no password here"),
    (HTTP.replace("https://a", "a"), "http.url: a is not a URL"),
    (HTTP.replace("homes", "certificate: PASSWORD, homes"), "http: certificate and private_key go together"),
    (HTTP.replace(", homes: [/srv]", ""), "http.homes: missing; add homes: to http"),
]


def test_mistakes(folder: Path) -> None:
    """One place and one sentence each, and nothing of a password."""
    for text, expected in MISTAKES:
        found = complaints(text, folder)
        assert any(expected in each for each in found), (text, found)
        assert all(each.startswith("ftpsd.yaml:") and not each.startswith("ftpsd.yaml:0") for each in found), found
        assert "hidden" not in "".join(found)


def test_users_of_a_source_in_the_users_file(folder: Path) -> None:
    """Each key that the source says is a mistake there, and a source that is not asked is told; they are no users."""
    alice = "users:\n  alice:\n    source: ldap\n    "
    for key in ("password: x", "home: /srv/a", "group: g", "role: uploader", "rules: []", "mounts: []"):
        with pytest.raises(ConfigErrors) as problem:
            read_users(f"{USERS}{alice}{key}\n", "users.yaml", folder)
        name = key.partition(":")[0]
        said = f"users.yaml:5:{7 + len(name)}: users.alice.{name}: the source says that of each user"
        assert any(str(error).startswith(said) for error in problem.value.errors), (key, problem.value.errors)
    with pytest.raises(ConfigErrors, match=r"users\.alice\.source"):
        read_users(f"{USERS}{alice.replace('ldap', 'nis')}\n", "users.yaml", folder)
    good = f"{USERS}{alice}sessions: 2\n    enabled: false\n    expires: 2020-01-01\n"
    people = read_users(good, "users.yaml", folder)
    assert (list(people.users), list(people.from_sources), list(people.frame.users)) == ([], ["alice"], ["alice"])
    assert complaints(LDAP, folder, good) == []
    assert complaints(PAM, folder, good) == [
        "users.yaml:4:13: warning: users.alice.source: ldap is not asked, so the user cannot log in; "
        "add ldap to accounts"
    ]


def test_who_is_shut_out_by_one_of_the_two_is(folder: Path) -> None:
    """The file replaces what the source says, but for what keeps a user out."""
    soon, later = "2030-01-01T00:00:00+00:00", "2031-01-01T00:00:00+00:00"
    totp, other = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "A" * 32
    cases: list[tuple[dict[str, Any], dict[str, Any], str, Any]] = [
        ({"sessions": 5}, {"sessions": 2}, "sessions", 2),
        ({"sessions": 5}, {}, "sessions", 5),
        ({"upload_end": "fin"}, {"networks": []}, "upload_end", "fin"),
        ({"enabled": False}, {"enabled": True}, "enabled", False),
        ({}, {"enabled": False}, "enabled", False),
        ({"expires": soon}, {"expires": later}, "expires", datetime.fromisoformat(soon)),
        ({"expires": later}, {"expires": soon}, "expires", datetime.fromisoformat(soon)),
        ({}, {"expires": soon}, "expires", datetime.fromisoformat(soon)),
        ({}, {"second_factor": "required"}, "second_factor", SecondFactor()),
        ({"second_factor": {"totp": totp}}, {"second_factor": "required"}, "second_factor", _factor(totp)),
        ({"second_factor": {"totp": totp}}, {"second_factor": {"totp": other}}, "second_factor", _factor(other)),
        ({"second_factor": {"totp": totp}}, {"second_factor": None}, "second_factor", _factor(totp)),
    ]
    for source, file, key, expected in cases:
        text = USERS + yaml.safe_dump({"users": {"alice": {"source": "http", **file}}})
        frame = Frame(read_users(text, "users.yaml", folder).frame)
        made = single_user("alice", {"home": "/srv/alice", "role": "uploader", **source}, frame, [Path("/srv")])
        assert getattr(made, key) == expected, (source, file)


def _factor(totp: str) -> SecondFactor:
    return SecondFactor(read_secret(totp))


def test_files_beside_a_users_file_without_users(folder: Path) -> None:
    """Nobody is missed where users come from elsewhere; and no home may hold the password of the service."""
    (folder / "users.yaml").write_text(USERS)
    (folder / "users.yaml").chmod(0o600)
    for text, expected in ((PAM, []), ("", ["users"])):
        config = read_config(text, str(folder / "ftpsd.yaml"), folder)
        assert [each.key for each in check_files(config) if "no user is there" in each.message] == expected
    (folder / "elsewhere").mkdir()
    (folder / "PASSWORD").rename(folder / "elsewhere" / "password")
    (folder / "users.yaml").write_text(USERS + f"users: {{alice: {{home: {folder}/elsewhere}}}}\n")
    text = LDAP.replace("PASSWORD", str(folder / "elsewhere" / "password"))
    found = check_files(read_config(text, str(folder / "ftpsd.yaml"), folder))
    assert any(each.key == "users.alice.home" and "elsewhere/password" in each.message for each in found), found


def test_a_package_that_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that installs it."""
    monkeypatch.setitem(PACKAGES, "ldap", "no_such_package_4711")
    (found,) = complaints(LDAP, folder)
    assert found == (
        "ftpsd.yaml:1:18: accounts[1]: ldap needs the package no_such_package_4711, which is not installed; "
        'run: pip install "ftpsd[ldap]"'
    )
