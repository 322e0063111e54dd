"""The commands of ftpsd, as an operator and a script meet them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
import yaml
from click.testing import CliRunner, Result

from ftpsd import __version__
from ftpsd.auth.hashing.passwords import verify
from ftpsd.cli.program import main
from ftpsd.cli.terminal import RELOAD
from ftpsd.commands import TABLE
from ftpsd.config.schema import json_schema
from ftpsd.config.users import load_users
from tests.tools import ROOT

Run = Callable[..., Result]


def run(*arguments: object, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Make a folder with a good configuration and one user."""
    (tmp_path / "tls").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "ftpsd.yaml").write_text("users: users.yaml\nstate: state.db\n")
    (tmp_path / "users.yaml").write_text("# ours\nusers:\n  alice:\n    home: home\n")
    (tmp_path / "users.yaml").chmod(0o600)
    write_certificate(tmp_path, timedelta(days=90))
    return tmp_path


def write_certificate(site: Path, lasting: timedelta) -> None:
    ca = trustme.CA()
    certificate = ca.issue_cert("a.example.com", not_after=datetime.now(UTC) + lasting)
    chain = (*certificate.cert_chain_pems, ca.cert_pem)
    (site / "tls/fullchain.pem").write_bytes(b"".join(blob.bytes() for blob in chain))
    (site / "tls/privkey.pem").write_bytes(certificate.private_key_pem.bytes())
    (site / "tls/privkey.pem").chmod(0o600)


def test_the_version_is_told() -> None:
    """--version names the program and its version."""
    assert run("--version").output == f"ftpsd {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    """`ftpsd --help` answers before Twisted, pydantic or cryptography are imported."""
    program = (
        "import sys; from ftpsd.cli.program import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(','.join({'twisted', 'pydantic', 'cryptography', 'OpenSSL', 'yaml', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == "\n"
    assert "serve" in done.stdout


def test_the_module_is_the_program() -> None:
    """`python -m ftpsd` is ftpsd."""
    done = subprocess.run(
        [sys.executable, "-m", "ftpsd", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"ftpsd {__version__}\n"


# --- check


def test_check_praises_a_good_configuration(site: Path) -> None:
    """The summary counts listeners and users and names the certificate."""
    result = run("check", "--config", site / "ftpsd.yaml")
    until = datetime.now(UTC) + timedelta(days=90)
    assert result.stdout == (
        f"{site}/ftpsd.yaml is good: 2 listeners, 1 user, certificate for a.example.com valid until {until:%Y-%m-%d}\n"
    )
    assert (result.exit_code, result.stderr) == (0, "")


def test_check_tells_all_errors_of_a_file(site: Path) -> None:
    """Errors go to standard error, a line each, with exit code 2."""
    (site / "ftpsd.yaml").write_text("limits: {idle_timeout: 10, x: 1}\nbanner: 5\n")
    result = run("check", "--config", site / "ftpsd.yaml")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{site}/ftpsd.yaml:1:28: limits.x: not a key of limits; its keys are connections, connections_per_address, "
        "connection_rate, handshake_rate, sessions_per_user, login_timeout, idle_timeout, stall_timeout, "
        "data_connect_timeout, handshake_timeout, failed_logins, download_rate, upload_rate",
        f"{site}/ftpsd.yaml:2:9: banner: must be text, not 5",
    ]


def test_check_tells_errors_of_all_files(site: Path) -> None:
    """Certificates, homes and the users file are looked at together."""
    (site / "tls/privkey.pem").unlink()
    (site / "home").rmdir()
    result = run("check", "--config", site / "ftpsd.yaml")
    assert result.exit_code == 2
    assert [line.split(": ")[1] for line in result.stderr.splitlines()[:-1]] == ["tls.private_key", "users.alice.home"]
    assert result.stderr.splitlines()[-1] == f"{site}/ftpsd.yaml is not good: 2 errors, 0 warnings"


def test_check_tells_a_pair_that_does_not_belong_together(site: Path) -> None:
    """A key of another certificate is an error."""
    key = trustme.CA().issue_cert("b.example.com").private_key_pem.bytes()
    (site / "tls/privkey.pem").write_bytes(key)
    result = run("check", "--config", site / "ftpsd.yaml")
    assert result.exit_code == 2
    assert "tls.certificate: " in result.stderr


def test_check_warns_of_a_certificate_that_ends_soon(site: Path) -> None:
    """A warning does not make a configuration bad."""
    write_certificate(site, timedelta(days=5))
    result = run("check", "--config", site / "ftpsd.yaml")
    assert result.exit_code == 0
    assert ": warning: tls.certificate: valid only until" in result.stderr
    assert "is good with 1 warning: " in result.stdout


def test_check_without_tls_needs_no_certificate(site: Path) -> None:
    """Plain FTP is good without a certificate, and the summary says so."""
    (site / "tls/fullchain.pem").unlink()
    (site / "ftpsd.yaml").write_text("listeners: [{mode: explicit, port: 21}]\ntls: {require: none}\nstate: null\n")
    result = run("check", "--config", site / "ftpsd.yaml")
    assert result.stdout == f"{site}/ftpsd.yaml is good: 1 listener, 1 user, no certificate\n"


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_missing_configuration_is_told(tmp_path: Path, command: str) -> None:
    """A file that is not there is exit code 2 and one line."""
    result = run(command, "--config", tmp_path / "none.yaml")
    assert (result.exit_code, result.stderr) == (2, f"{tmp_path}/none.yaml: no such file\n")


def test_the_configuration_is_where_the_environment_says(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$FTPSD_CONFIG, else /etc/ftpsd/ftpsd.yaml, for every command that reads it; an option wins."""
    (site / "other").mkdir()
    monkeypatch.setenv("FTPSD_CONFIG", str(site / "other" / "ftpsd.yaml"))
    for command in (["serve"], ["check"], ["doctor"], ["explain", "alice", "read", "/f"], ["user", "list"]):
        assert run(*command).stderr == f"{site}/other/ftpsd.yaml: no such file\n", command
    assert run("user", "list", "--config", site / "ftpsd.yaml").stdout.count("alice") > 0
    assert run("user", "list", "--users", site / "users.yaml").stdout.count("alice") > 0
    monkeypatch.delenv("FTPSD_CONFIG")
    assert "else /etc/ftpsd/ftpsd.yaml" in " ".join(run("check", "--help").stdout.split())


# --- what is printed


def test_the_schema_is_printed() -> None:
    """`ftpsd schema` prints JSON."""
    assert json.loads(run("schema").stdout) == json_schema()


def test_the_commands_are_printed() -> None:
    """`ftpsd commands` prints every verb, with tabs where there is no terminal."""
    lines = run("commands").stdout.splitlines()
    assert lines[0] == "syntax\tneeds\tRFC"
    assert [tuple(line.split("\t")) for line in lines[1:]] == TABLE.document()


def test_a_password_from_standard_input_is_hashed() -> None:
    """The first line without its end is the password; the hash is ready to be pasted, or bare for programs."""
    for stdin in ("päss wörd\n", "päss wörd", "päss wörd\r\n", "päss wörd\nmore\n"):
        result = run("hash-password", "--password-stdin", stdin=stdin)
        assert verify("päss wörd", yaml.safe_load(f"{{a: {result.stdout.strip()}}}")["a"]), stdin
        assert result.stdout[0] == result.stdout.strip()[-1] == "'", stdin
        assert verify("päss wörd", run("hash-password", "--password-stdin", "--raw", stdin=stdin).stdout.strip()), stdin


def test_a_password_is_asked_for_twice_on_a_terminal() -> None:
    """The prompt wants the same password again, and does not show it."""
    shown = on_a_terminal("hash-password", "secret", "secret")
    assert "secret" not in shown
    assert verify("secret", shown.splitlines()[-1].strip("'"))


def on_a_terminal(command: str, *answers: str) -> str:
    """Run *command* with a terminal of its own and give each of the *answers* to a prompt; return what is shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "ftpsd", command])
    shown = b""
    try:
        for answer in answers:
            while not shown.endswith(b": "):
                shown += os.read(terminal, 1000)
            os.write(terminal, answer.encode() + b"\n")
            shown += os.read(terminal, 2)
        # The terminal of a process that has ended gives EIO.
        with suppress(OSError):
            while piece := os.read(terminal, 1000):
                shown += piece
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    return shown.decode()


def test_a_pipe_needs_neither_option_nor_terminal() -> None:
    """As in a script or over ssh: the first line is the password, in a session without a terminal."""
    for stdin in ("secret\n", "secret"):
        assert verify("secret", run("hash-password", stdin=stdin).stdout.strip().strip("'")), stdin
    done = subprocess.run(
        [sys.executable, "-m", "ftpsd", "hash-password"],
        cwd=ROOT,
        input="secret\nsecret\n",
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert verify("secret", done.stdout.strip().strip("'"))


def test_an_empty_pipe_is_told(site: Path) -> None:
    """Nothing is no password: exit code 2 and a sentence, not an abort."""
    for command in (["hash-password"], ["user", "password", "alice", "--config", site / "ftpsd.yaml"]):
        result = run(*command, stdin="")
        assert result.exit_code == 2
        assert "A password has at least one" in result.stderr


@pytest.mark.parametrize("stdin", ["", "\n", "a\tb\n", b"\xff\n", "x" * 2000])
def test_a_password_nobody_can_log_in_with_is_refused(stdin: str | bytes) -> None:
    """Empty, unprintable, not UTF-8 and far too long passwords are refused."""
    result = run("hash-password", "--password-stdin", stdin=stdin)
    assert (result.exit_code, result.stdout) == (2, "")


# --- explain


@pytest.fixture
def mounted(site: Path) -> Path:
    """Add a user with a role and a mount."""
    (site / "users.yaml").write_text(
        "roles: {reader: {rules: [{path: /**, allow: [list, read]}]}}\n"
        "users: {alice: {home: home, mounts: [{path: /shared, directory: home, role: reader}]}}\n"
    )
    return site / "ftpsd.yaml"


def test_what_is_allowed_is_explained(mounted: Path) -> None:
    """Exit code 0, with the verdict and what decides."""
    result = run("explain", "--config", mounted, "alice", "delete", "a/b")
    assert (result.exit_code, result.stdout) == (
        0,
        "allowed: alice may delete /a/b\nhome, no role and no rules: everything is allowed\n",
    )


def test_what_is_denied_is_explained(mounted: Path) -> None:
    """Exit code 1, with the rule."""
    result = run("explain", "--config", mounted, "alice", "delete", "/shared/a")
    assert (result.exit_code, result.stdout) == (
        1,
        "denied: alice may not delete /shared/a\n"
        "mount /shared, role reader, rule 1 of 1 decides about /a: {path: /**, allow: [list, read]}\n",
    )


@pytest.mark.parametrize(
    ("question", "complaint"),
    [
        (("bob", "read", "/"), "There is no user bob"),
        (("alice", "fly", "/"), "fly is no action; the actions are list, read"),
        (("alice", "read", "/a\tb"), "PATH: Names cannot hold control characters."),
    ],
)
def test_what_is_no_question_is_told(mounted: Path, question: tuple[str, ...], complaint: str) -> None:
    """Exit code 2 for an unknown user or action, or what is no path."""
    result = run("explain", "--config", mounted, *question)
    assert result.exit_code == 2
    assert complaint in result.stderr


# --- user


def test_a_user_is_added(site: Path) -> None:
    """The password is stored as a hash, the home as an absolute path, and the rest of the file stays."""
    result = run(
        "user", "add", "bob", "--home", site / "bob", "--password-stdin", "--users", site / "users.yaml", stdin="pw\n"
    )
    assert (result.exit_code, result.stdout) == (0, f"added bob to {site}/users.yaml\n")
    assert result.stderr == f"{RELOAD}\n{site}/bob does not exist yet; run: mkdir -p {site}/bob\n"
    bob = load_users(site / "users.yaml").users["bob"]
    assert verify("pw", bob.password)
    assert (bob.home, bob.rules) == (site / "bob", None)
    assert (site / "users.yaml").read_text().startswith("# ours\nusers:\n  alice:\n    home: home\n")


def test_a_relative_home_starts_where_the_operator_is(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--home is read like any path of a shell, and not like one of the file."""
    (site / "else").mkdir()
    monkeypatch.chdir(site / "else")
    run("user", "add", "bob", "--home", "b", "--password-stdin", "--config", site / "ftpsd.yaml", stdin="pw\n")
    assert load_users(site / "users.yaml").users["bob"].home == site / "else" / "b"


def test_a_home_is_made(site: Path) -> None:
    """--create-home makes the home for its owner only."""
    arguments = ("--home", site / "new/bob", "--create-home", "--password-stdin", "--config", site / "ftpsd.yaml")
    assert run("user", "add", "bob", *arguments, stdin="pw\n").exit_code == 0
    assert (site / "new/bob").stat().st_mode & 0o777 == 0o700


def test_a_role_has_to_be_there(site: Path) -> None:
    """A user with a role that is not in the file is refused before the password is asked for."""
    arguments = ("--home", site / "bob", "--role", "boss", "--config", site / "ftpsd.yaml")
    result = run("user", "add", "bob", *arguments)
    assert result.exit_code == 2
    assert "users.bob.role: there is no role boss" in result.stderr
    assert "Password" not in result.stdout


def test_nobody_is_added_twice(site: Path) -> None:
    """Adding a user who is there is exit code 2, and the file stays."""
    before = (site / "users.yaml").read_text()
    result = run(
        "user", "add", "alice", "--home", "/h", "--password-stdin", "--config", site / "ftpsd.yaml", stdin="p\n"
    )
    assert (result.exit_code, (site / "users.yaml").read_text()) == (2, before)


def test_a_password_is_never_an_argument(site: Path) -> None:
    """An option is not offered whose value every user of the machine could read in the process list."""
    result = run("user", "password", "alice", "--password", "pw", "--config", site / "ftpsd.yaml")
    assert result.exit_code == 2
    assert "No such option" in result.stderr


def test_a_password_is_changed(site: Path) -> None:
    """The new password comes from a pipe; a terminal is asked."""
    result = run("user", "password", "alice", "--config", site / "ftpsd.yaml", stdin="new\n")
    assert result.exit_code == 0
    assert verify("new", load_users(site / "users.yaml").users["alice"].password)


def test_a_password_of_nobody_is_not_asked_for(site: Path) -> None:
    """A name that is not there is told before a password is typed."""
    result = run("user", "password", "zoe", "--config", site / "ftpsd.yaml")
    assert result.exit_code == 2
    assert result.stderr == f"{site}/users.yaml has no user zoe; `ftpsd user list` shows who is there.\n"


def test_a_user_is_removed(site: Path) -> None:
    """The user goes, the home stays."""
    result = run("user", "remove", "alice", "--config", site / "ftpsd.yaml")
    assert (result.exit_code, (site / "users.yaml").read_text()) == (0, "# ours\nusers:\n")
    assert (site / "home").is_dir()


def test_users_are_listed(site: Path) -> None:
    """Without a terminal the columns are separated by tabs."""
    assert run("user", "list", "--config", site / "ftpsd.yaml").stdout == (
        f"name\thome\taccess\tenabled\texpires\nalice\t{site}/home\tfull\tyes\tnever\n"
    )


def test_users_are_listed_as_json(site: Path) -> None:
    """--json is for scripts, and holds no hash."""
    run("user", "password", "alice", "--password-stdin", "--config", site / "ftpsd.yaml", stdin="pw\n")
    result = run("user", "list", "--json", "--config", site / "ftpsd.yaml")
    assert json.loads(result.stdout) == [
        {"name": "alice", "home": f"{site}/home", "access": "full", "enabled": True, "expires": None}
    ]


def test_the_users_of_a_host(site: Path) -> None:
    """--host names the users file of a virtual host, by any of its names."""
    (site / "ftpsd.yaml").write_text("virtual_hosts: [{names: [b.example.com, c.example.com], users: b.yaml}]\n")
    (site / "b.yaml").write_text("users: {}\n")
    options = ("--config", site / "ftpsd.yaml", "--host")
    home = ("--home", site / "home", "--password-stdin")
    added = run("user", "add", "bob", *home, *options, "C.example.com", stdin="p\n")
    assert added.stdout == f"added bob to {site}/b.yaml\n"
    assert list(load_users(site / "b.yaml").users) == ["bob"]
    assert "alice" not in run("user", "list", *options, "b.example.com").stdout
    assert run("explain", *options, "b.example.com", "bob", "read", "/f").exit_code == 0
    assert "There is no user bob" in run("explain", "--config", site / "ftpsd.yaml", "bob", "read", "/f").stderr


def test_a_host_that_is_not_there(site: Path) -> None:
    """The names that are there are told; --host needs the configuration."""
    (site / "ftpsd.yaml").write_text("virtual_hosts: [{names: [b.example.com], users: b.yaml}]\n")
    result = run("user", "list", "--config", site / "ftpsd.yaml", "--host", "x.example.com")
    assert result.exit_code == 2
    assert "has no virtual host x.example.com; it has b.example.com." in result.stderr
    assert run("user", "list", "--users", site / "users.yaml", "--host", "b.example.com").exit_code == 2


def test_the_users_file_is_named_once() -> None:
    """Both of --config and --users is a mistake."""
    result = run("user", "list", "--config", "a", "--users", "b")
    assert result.exit_code == 2
    assert "Name the users file once" in result.stderr


@pytest.mark.parametrize("arguments", [["list"], ["remove", "a"], ["password", "a"]])
def test_errors_of_the_users_file_are_told(site: Path, arguments: list[str]) -> None:
    """A users file that does not load is told with places, by every command."""
    (site / "users.yaml").write_text("users:\n  a: {}\n")
    result = run("user", *arguments, "--users", site / "users.yaml", stdin="p\np\n")
    assert result.exit_code == 2
    assert f"{site}/users.yaml:2:6: users.a.home: missing" in result.stderr


# --- demo


@pytest.mark.parametrize("ports", ["backwards", "3050-3000", "70000"])
def test_the_demo_refuses_ports_that_are_none(ports: str) -> None:
    """A range that runs backwards is told before anything is made."""
    result = run("demo", "--passive-ports", ports)
    assert result.exit_code == 2
    assert "--passive-ports" in result.stderr
