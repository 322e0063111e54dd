"""The demonstration: what it writes, what it keeps, what it refuses and what it prints. Nothing is served here."""

from __future__ import annotations

import os
import shlex
import socket
import ssl
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ftpsd.auth.hashing.passwords import verify
from ftpsd.config.reading import load_config
from ftpsd.config.users import load_users
from ftpsd.demo.authority import create
from ftpsd.demo.demonstration import MARK, Demo, DemoProblem, Wishes, demo, prepare
from ftpsd.demo.ours import NotOurs
from ftpsd.demo.pasting import instructions, shown_fingerprint
from ftpsd.tls.certificates import CertificatePair
from tests.unit.auth.counting import counted_argon2

PASSIVE = "3000-3050"

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture(autouse=True)
def cheap_hashes() -> Iterator[None]:
    """Make hashes that cost nothing: what a hash costs is the subject of unit/auth."""
    with counted_argon2():
        yield


def wishes(**more: Any) -> Wishes:
    return Wishes(**{"port": 0, "implicit_port": 0, "passive_ports": PASSIVE, "metrics_port": 0, **more})


def prepared(directory: Path, *, user: str = "demo", password: str | None = None) -> Demo:
    return prepare(directory, wishes(user=user, password=password))


def demonstrated(directory: Path | None, served: list[Path], *, port: int = 0) -> int:
    def serve(config: Path) -> int:
        assert config.exists()
        served.append(config)
        return 0

    return demo(directory, wishes(port=port), serve)


def test_the_configuration_is_an_ordinary_one(tmp_path: Path) -> None:
    """load_config() takes what the demonstration wrote."""
    ready = prepared(tmp_path / "state")
    config = load_config(ready.config)
    assert {(listener.mode, listener.port) for listener in config.listeners} == {
        ("explicit", ready.port),
        ("implicit", ready.implicit_port),
    }


def test_nothing_listens_beyond_this_machine(tmp_path: Path) -> None:
    """Control ports and metrics are bound to loopback addresses."""
    config = load_config(prepared(tmp_path).config)
    assert config.metrics is not None
    assert {*(listener.address for listener in config.listeners), config.metrics.address} <= {"127.0.0.1", "::1"}


def test_a_further_address_is_listened_on_and_in_the_certificate(tmp_path: Path) -> None:
    """Metrics stay on loopback. An authority of before that cannot sign for it is replaced; one that can stays."""
    before = prepared(tmp_path).authority.read_bytes()
    for address in ("0.0.0.0", "::", "127.0.0.1", "here"):
        with pytest.raises(DemoProblem, match="--listen: "):
            prepare(tmp_path, wishes(listen=(address,)))
    files = create(tmp_path / "tls", addresses=("192.0.2.7",))
    after = files.authority.read_bytes()
    assert after != before
    pair = CertificatePair.load(files.certificate, files.private_key)
    assert {"localhost", "127.0.0.1", "192.0.2.7"} <= set(pair.names)
    assert create(tmp_path / "tls", addresses=("192.0.2.7",)).authority.read_bytes() == after
    assert create(tmp_path / "tls").authority.read_bytes() == after


def test_the_password_is_the_one_that_is_printed(tmp_path: Path) -> None:
    """The users file holds the hash of the password that was made up."""
    ready = prepared(tmp_path)
    assert ready.password is not None
    assert verify(ready.password, load_users(tmp_path / "users.yaml").users["demo"].password)


def test_the_state_is_nobody_elses_to_read(tmp_path: Path) -> None:
    """The directory and the users file are closed to others."""
    prepared(tmp_path / "state")
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "state", tmp_path / "state" / "users.yaml")}
    assert modes == {0}


def test_a_second_start_keeps_the_password(tmp_path: Path) -> None:
    """The hash of an earlier start stays, and the password, which nobody can read from it, is not printed."""
    prepared(tmp_path)
    before = (tmp_path / "users.yaml").read_text()
    again = prepared(tmp_path)
    assert (tmp_path / "users.yaml").read_text() == before
    assert again.password is None


def test_a_second_start_keeps_the_certificate(tmp_path: Path) -> None:
    """A client that trusts the demonstration's authority still does."""
    assert prepared(tmp_path).fingerprint == prepared(tmp_path).fingerprint


def test_a_second_start_keeps_what_was_uploaded(tmp_path: Path) -> None:
    """Files in the home stay, also a welcome.txt that was changed."""
    prepared(tmp_path)
    (tmp_path / "home" / "welcome.txt").write_text("mine")
    prepared(tmp_path)
    assert (tmp_path / "home" / "welcome.txt").read_text() == "mine"


def test_a_given_password_replaces_the_old_one(tmp_path: Path) -> None:
    """--password changes the hash of the user and nothing else in the file."""
    prepared(tmp_path)
    with (tmp_path / "users.yaml").open("a") as file:
        file.write("# edited by hand\n")
    prepared(tmp_path, password="correct horse")
    assert verify("correct horse", load_users(tmp_path / "users.yaml").users["demo"].password)
    assert "# edited by hand" in (tmp_path / "users.yaml").read_text()


def test_another_user_joins_the_first(tmp_path: Path) -> None:
    """A second --user in the same directory leaves the first one there."""
    prepared(tmp_path)
    prepared(tmp_path, user="1e3")
    assert set(load_users(tmp_path / "users.yaml").users) == {"demo", "1e3"}


def test_a_real_configuration_is_not_touched(tmp_path: Path) -> None:
    """A ftpsd.yaml that the demonstration did not write stops it."""
    (tmp_path / "ftpsd.yaml").write_text("banner: mine\n")
    with pytest.raises(DemoProblem, match="was not written by `ftpsd demo`"):
        prepared(tmp_path)
    assert (tmp_path / "ftpsd.yaml").read_text() == "banner: mine\n"


def test_a_port_in_use_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that somebody has ends the demonstration with the option that moves it."""
    served: list[Path] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        assert demonstrated(tmp_path, served, port=port) == 2
    assert f"--port: port {port} is in use" in capsys.readouterr().err
    assert served == []


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file where the directory should be ends the demonstration with its name."""
    (tmp_path / "file").write_text("")
    assert demonstrated(tmp_path / "file", []) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize("user", ["", "a:b", "a,b", "a\nb"])
def test_a_user_no_client_can_name_is_refused(tmp_path: Path, user: str) -> None:
    """A name that cannot be pasted is not accepted as a user name."""
    with pytest.raises(DemoProblem, match="--user"):
        prepared(tmp_path, user=user)


def test_a_temporary_directory_goes_away() -> None:
    """Without --directory nothing is left behind."""
    served: list[Path] = []
    assert demonstrated(None, served) == 0
    assert not served[0].parent.exists()


def test_a_temporary_directory_goes_away_when_serving_fails() -> None:
    """Nothing is left behind by an error either."""
    served: list[Path] = []

    def fail(config: Path) -> int:
        served.append(config)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo(None, wishes(), fail)
    assert not served[0].parent.exists()


def test_a_given_directory_stays(tmp_path: Path) -> None:
    """--directory is kept for the next time."""
    assert demonstrated(tmp_path / "state", []) == 0
    assert (tmp_path / "state" / "ftpsd.yaml").exists()


def test_a_relative_directory_is_printed_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lines can be pasted in another directory than the one the demonstration was started in."""
    monkeypatch.chdir(tmp_path)
    demonstrated(Path("state"), [])
    assert f"--cacert {tmp_path}/state/tls/ca.pem" in capsys.readouterr().out


def test_the_lines_survive_a_shell(tmp_path: Path) -> None:
    """Paths and passwords with blanks, quotes and dollars are printed so that a shell gives them back."""
    ready = prepared(tmp_path / 'it\'s a "state"', password="pa$$ 'word'")
    curl = next(line for line in instructions(ready, is_kept=True).splitlines() if "--upload-file" in line)
    words = shlex.split(curl)
    assert words[words.index("--cacert") + 1] == str(ready.authority)
    assert words[words.index("--user") + 1] == "demo:pa$$ 'word'"
    assert Path(words[words.index("--upload-file") + 1]).exists()


def test_lftp_gets_its_own_quotes(tmp_path: Path) -> None:
    """The commands that lftp reads behind -e are quoted for lftp inside the quotes for the shell."""
    ready = prepared(tmp_path / 'a "state"')
    line = next(line for line in instructions(ready, is_kept=True).splitlines() if line.startswith("  lftp "))
    words = shlex.split(line)
    assert words[words.index("-e") + 1].startswith(f'set ssl:ca-file "{tmp_path}/a \\"state\\"/tls/ca.pem"; ')


def test_an_unknown_password_is_asked_for(tmp_path: Path) -> None:
    """Where the password is unchanged the lines carry the name alone, and the page says why."""
    prepared(tmp_path)
    page = instructions(prepared(tmp_path), is_kept=True)
    assert "--user demo ftp://" in page
    assert "unchanged" in page


def test_filezilla_and_winscp_get_urls(tmp_path: Path) -> None:
    """Both read ftpes as explicit TLS and ftps as implicit; a password with letters of URLs comes back from them."""
    ready = prepared(tmp_path, password="p@ss:/word %")
    page = instructions(ready, is_kept=True)
    lines = [line.strip() for line in page.splitlines()]
    for scheme, port in (("ftpes", ready.port), ("ftps", ready.implicit_port)):
        address = f"{scheme}://demo:p%40ss%3A%2Fword%20%25@localhost:{port}"
        assert f"filezilla {address}" in lines
        (winscp,) = [line for line in lines if line.startswith(f'winscp.com /command "open {address}/ ')]
        assert f" -certificate={shown_fingerprint(ready.fingerprint)}" in winscp
    assert urlsplit(address).port == ready.implicit_port


def test_the_fingerprint_is_written_as_clients_show_it(tmp_path: Path) -> None:
    """32 pairs of lower-case digits with colons, of the certificate that the server shows."""
    ready = prepared(tmp_path)
    pem = (tmp_path / "tls/server.pem").read_text()
    der = ssl.PEM_cert_to_DER_cert(pem[: pem.index("-----END") + len("-----END CERTIFICATE-----")])
    assert f"certificate   SHA-256 {sha256(der).digest().hex(':')}\n" in instructions(ready, is_kept=True)


# --- a directory of somebody else


@only_root
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Its owner can put anything into it, at any time."""
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 1234, 1234)
    for place in ("theirs", "theirs/below"):
        with pytest.raises(NotOurs, match="belongs to 1234"):
            prepared(tmp_path / place)
    assert os.listdir(tmp_path / "theirs") == []


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o722])
def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """Also with the sticky bit: others could make what is not there yet."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(mode)
    with pytest.raises(NotOurs, match="chmod go-w"):
        prepared(tmp_path / "state")
    assert os.listdir(tmp_path / "state") == []


@pytest.mark.parametrize("name", ["ftpsd.yaml", "users.yaml", "hello.txt", "audit.log", "tls/ca.pem", "tls/ca-key.pem"])
def test_a_planted_link_is_refused(tmp_path: Path, name: str) -> None:
    """The target of the link is as it was, whether it is there or not."""
    state = tmp_path / "state"
    (state / "tls").mkdir(parents=True, mode=0o700)
    state.chmod(0o700)
    for target in (tmp_path / "precious", tmp_path / "absent"):
        (tmp_path / "precious").write_text(f"{MARK}\n")
        (state / name).symlink_to(target)
        with pytest.raises(NotOurs, match="is a link"):
            prepared(state)
        (state / name).unlink()
    assert (tmp_path / "precious").read_text() == f"{MARK}\n"
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("name", ["tls", "home"])
def test_a_planted_link_to_a_directory_is_refused(tmp_path: Path, name: str) -> None:
    """Keys, and what clients upload, would land there."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "else").mkdir()
    (tmp_path / "state" / name).symlink_to(tmp_path / "else")
    with pytest.raises(NotOurs, match="is a link"):
        prepared(tmp_path / "state")
    assert os.listdir(tmp_path / "else") == []


def test_a_planted_hard_link_is_refused(tmp_path: Path) -> None:
    """A file with a second name is written through both."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "precious").write_text("mine")
    os.link(tmp_path / "precious", tmp_path / "state" / "audit.log")
    with pytest.raises(NotOurs, match="second name"):
        prepared(tmp_path / "state")


def test_the_refusal_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, a sentence with the command to run, and nothing is served."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    served: list[Path] = []
    assert demonstrated(tmp_path / "state", served) == 2
    assert f"run: chmod go-w {tmp_path}/state; or choose another --directory" in capsys.readouterr().err
    assert served == []
