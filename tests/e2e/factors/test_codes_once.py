"""Each code counts once: over processes, restarts and reloads, and never without the state file."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.client import IPV4, ControlConnection, tls_context
from tests.e2e.conftest import StartDaemon
from tests.e2e.daemon import PASSWORD
from tests.e2e.factors.conftest import Office, Person
from tests.e2e.polling import eventually
from tests.state import begin_long_ago

ELSEWHERE = "127.0.0.2"


def log_in(office: Office, person: Person, password: str, source: str = IPV4, acct: str | None = None) -> str:
    """Log in from *source* and return the code of the last reply."""
    port = office.daemon.ports.implicit
    connection = ControlConnection(IPV4, port, source)
    connection.start_tls(tls_context(office.daemon))
    assert connection.reply().startswith("220")
    assert connection.ask(f"USER {person.name}").startswith("331")
    code = connection.ask(f"PASS {password}")[:3]
    if code == "332" and acct is not None:
        code = connection.ask(f"ACCT {acct}")[:3]
    connection.close()
    return code


@pytest.fixture
def own(start_daemon: StartDaemon) -> Office:
    """A server of the test's own."""
    daemon = start_daemon({"processes": 2})
    made = Office(daemon)
    daemon.reload()
    return made


def test_a_code_is_used_up_for_good(own: Office) -> None:
    """In all processes, after a restart by force, and what was remembered then is remembered."""
    person = own.person()
    password = person.with_code()
    assert log_in(own, person, password) == "230"
    assert log_in(own, person, password, ELSEWHERE) == "530"
    assert own.daemon.process is not None
    own.daemon.signal(signal.SIGKILL)
    own.daemon.ended()
    eventually(lambda: _starts(own), "started again")
    assert log_in(own, person, password, ELSEWHERE) == "530"
    assert log_in(own, person, PASSWORD) == "230"
    assert log_in(own, person, PASSWORD, ELSEWHERE, person.recovery) == "230"
    assert log_in(own, person, PASSWORD, "127.0.0.3", person.recovery) == "530"


def _starts(office: Office) -> bool:
    # Processes of the server that was killed come to their end in their own time, and hold its ports until then.
    office.daemon.spawn()
    eventually(lambda: office.daemon.is_ready or office.daemon.exit_code is not None, "ready or dead", 60)
    return office.daemon.exit_code is None


def test_a_server_whose_state_file_is_missing(start_daemon: StartDaemon) -> None:
    """Users with a second factor are refused, with the reason in the log; once it is there they are let in."""
    daemon = start_daemon({"state": "missing/state.db"})
    office = Office(daemon)
    daemon.reload()
    person = office.person()
    assert log_in(office, person, person.with_code()) == "530"
    daemon.wait_for_event("login-refused", reason="second factor cannot be checked", name=person.name)
    assert f"{person.name} cannot log in: the second factor needs the state file" in daemon.stderr
    (daemon.folder / "missing").mkdir()
    begin_long_ago(daemon.folder / "missing" / "state.db")
    # The file is looked for again a moment later, not with each login.
    eventually(lambda: log_in(office, person, person.with_code()) == "230", "the file is found")
    daemon.wait_for_event("state-restored")
