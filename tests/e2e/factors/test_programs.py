"""Programs that log in with a second factor: by ACCT, with the code behind the password, and over many connections."""

from __future__ import annotations

import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.client import EXPLICIT_1_2, IPV4, ControlConnection, ReusedFTP_TLS, tls_context
from tests.e2e.daemon import PASSWORD
from tests.e2e.factors.conftest import Office, Person
from tests.e2e.polling import eventually
from tests.e2e.programs.files import digests, make_tree
from tests.tools import require_tool

SECONDS = 120


def methods(office: Office, person: Person, logins: int) -> Counter[str]:
    """Count how the person was let in, once there are so many *logins*: the log is written behind the reply."""

    def found() -> list[str] | None:
        events = [event["method"] for event in office.daemon.audit('"logged-in"') if event["user"] == person.name]
        return events if len(events) >= logins else None

    return Counter(eventually(found, f"{logins} logins"))


def reasons(office: Office, person: Person) -> set[str]:
    """Return why the person was refused."""
    return {event["reason"] for event in office.daemon.audit('"login-refused"') if event["name"] == person.name}


def run(command: list[str], folder: Path) -> str:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("form", ["account", "appended"])
def test_curl(office: Office, tmp_path: Path, form: str) -> None:
    """--ftp-account, or the code behind the password; a second transfer needs none."""
    curl, person = require_tool("curl"), office.person()
    (person.home / "file").write_text("content")
    common = [curl, "-sS", "--ssl-reqd", "--cacert", str(office.daemon.tls.authority)]
    url = f"ftp://{IPV4}:{office.daemon.ports.explicit}/file"
    if form == "account":
        given = ["--user", f"{person.name}:{PASSWORD}", "--ftp-account", person.code()]
    else:
        given = ["--user", f"{person.name}:{person.with_code()}"]
    assert run([*common, *given, url], tmp_path) == "content"
    assert run([*common, "--user", f"{person.name}:{PASSWORD}", url], tmp_path) == "content"
    assert methods(office, person, 2) == {"password+totp": 1, "password+remembered": 1}


def test_curl_in_parallel(office: Office, tmp_path: Path) -> None:
    """-Z: connections that all bring the same code at once, over two processes; one of them uses it up."""
    curl, person = require_tool("curl"), office.person()
    tree = make_tree(tmp_path / "tree", 8)
    command = [curl, "-sS", "-Z", "--ssl-reqd", "--cacert", str(office.daemon.tls.authority)]
    command += ["--user", f"{person.name}:{person.with_code()}"]
    for number, file in enumerate(path for path in tree.rglob("*") if path.is_file()):
        command += ["-T", str(file), f"ftp://{IPV4}:{office.daemon.ports.explicit}/{number}"]
    run(command, tmp_path)
    assert sorted(digests(person.home).values()) == sorted(digests(tree).values())
    assert methods(office, person, 8)["password+totp"] == 1
    assert reasons(office, person) == set()


@pytest.mark.parametrize("form", ["account", "appended"])
def test_lftp_with_eight_connections(office: Office, tmp_path: Path, form: str) -> None:
    """mirror -P 8: asked once, whichever form; ACCT is set once for all connections."""
    lftp, person = require_tool("lftp"), office.person()
    tree = make_tree(tmp_path / "tree", 80)
    settings = ["set cmd:fail-exit yes", "set net:max-retries 1", f"set ssl:ca-file {office.daemon.tls.authority}"]
    settings += ["set ftp:ssl-force yes", "set ftp:ssl-protect-data yes", "set net:connection-limit 8"]
    password = PASSWORD if form == "account" else person.with_code()
    if form == "account":
        settings.append(f"set ftp:acct {person.code()}")
    opened = f"open -u {person.name},{password} ftp://localhost:{office.daemon.ports.explicit}"
    run([lftp, "--norc", "-c", ";".join([*settings, opened, "mirror -R -P 8 tree tree"])], tmp_path)
    assert digests(person.home / "tree") == digests(tree)
    found = methods(office, person, 4)
    assert found["password+totp"] == 1
    assert found["password+remembered"] >= 3
    assert reasons(office, person) == set()


def test_ftplib(office: Office) -> None:
    """login(user, passwd, acct)."""
    person = office.person()
    for acct in (person.code(), ""):
        with ReusedFTP_TLS(context=tls_context(office.daemon)) as ftp:
            ftp.connect(IPV4, office.daemon.ports.explicit)
            assert ftp.login(person.name, PASSWORD, acct).startswith("230")
            ftp.prot_p()
            assert ftp.nlst() == []
    assert methods(office, person, 2) == {"password+totp": 1, "password+remembered": 1}


def filezilla(office: Office, person: Person, password: str, account: str | None) -> list[str]:
    """Say byte for byte what FileZilla says up to its first listing; return the codes of the replies."""
    connection = ControlConnection(IPV4, office.daemon.ports.explicit)
    codes = [connection.reply()[:3], connection.ask("AUTH TLS")[:3]]
    connection.start_tls(tls_context(office.daemon, EXPLICIT_1_2.version))
    codes += [connection.ask(line)[:3] for line in (f"USER {person.name}", f"PASS {password}")]
    if codes[-1] == "332" and account is not None:
        codes.append(connection.ask(f"ACCT {account}")[:3])
    if codes[-1] == "230":
        codes += [connection.ask(line)[:3] for line in ("SYST", "FEAT", "PBSZ 0", "PROT P", "PWD", "TYPE I", "PASV")]
    connection.close()
    return codes


def test_filezillas_dialogue(office: Office) -> None:
    """Its logon type "Account", and "Ask for password" with the code behind it; ten connections of a queue at once."""
    entered = ["215", "211", "200", "200", "257", "200", "227"]
    person = office.person()
    assert filezilla(office, person, PASSWORD, person.code()) == ["220", "234", "331", "332", "230", *entered]
    with ThreadPoolExecutor(10) as pool:
        queue = list(pool.map(lambda _: filezilla(office, person, PASSWORD, "000000"), range(10)))
    assert queue == [["220", "234", "331", "230", *entered]] * 10
    asked = office.person()
    password = asked.with_code()
    with ThreadPoolExecutor(10) as pool:
        queue = list(pool.map(lambda _: filezilla(office, asked, password, None), range(10)))
    assert queue == [["220", "234", "331", "230", *entered]] * 10
    assert methods(office, asked, 10) == {"password+totp": 1, "password+remembered": 9}
