"""`ftpsd audit key`, `verify` and `search`, as an operator and as a script run them."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ftpsd.audit.evidence.keys import public_pem
from ftpsd.cli.program import main
from tests.unit.audit.evidence.logs import KEY, write


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def configured(folder: Path) -> tuple[Path, Path]:
    """Return a configuration with a chained log, and the log."""
    private = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "audit.key").write_bytes(private)
    config = folder / "ftpsd.yaml"
    config.write_text("audit: {log: audit.jsonl, chain: {private_key: audit.key}}\n")
    log = folder / "audit.jsonl"
    write(log, 1, 5)
    return config, log


def test_a_key_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    """Its public part lies beside it, and neither is ever written over."""
    key = tmp_path / "audit.key"
    made = run("audit", "key", key)
    assert made.exit_code == 0
    assert key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "audit.key.pub").read_text().startswith("-----BEGIN PUBLIC KEY-----")
    before = key.read_bytes()
    again = run("audit", "key", key)
    assert (again.exit_code, key.read_bytes()) == (2, before)
    assert "is there already" in again.stderr


def test_verify_takes_log_and_key_of_the_configuration(tmp_path: Path) -> None:
    """Good is 0, and the text says what was verified."""
    config, _ = configured(tmp_path)
    result = run("audit", "verify", "--config", config)
    assert result.exit_code == 0, result.output
    assert "good: lines 1 to 7 in 1 file, 1 checkpoint, signatures verified" in result.output
    told = json.loads(run("audit", "verify", "--config", config, "--json").output)
    assert (told["good"], told["broken"], told["signatures"]) == (True, None, "verified")


def test_verify_names_the_first_bad_line(tmp_path: Path) -> None:
    """With file, line and kind, for people and as JSON; an auditor needs no configuration."""
    _, log = configured(tmp_path)
    public = tmp_path / "public.pem"
    public.write_bytes(public_pem(KEY.public_key()))
    log.write_bytes(log.read_bytes().replace(b'"/3"', b'"/4"'))
    result = run("audit", "verify", log, "--key", public)
    assert result.exit_code == 1
    assert f"{log}:4: changed: " in result.output
    told = json.loads(run("audit", "verify", log, "--key", public, "--json").output)
    assert (told["good"], told["broken"]["kind"], told["broken"]["line"]) == (False, "changed", 4)


def test_verify_without_a_key_says_so(tmp_path: Path) -> None:
    """Links alone prove little: whoever changes a line can make them anew."""
    _, log = configured(tmp_path)
    result = CliRunner(env={"FTPSD_CONFIG": str(tmp_path / "none.yaml")}).invoke(main, ["audit", "verify", str(log)])
    assert result.exit_code == 0, result.output
    assert "signatures not checked" in result.output


def test_a_log_that_is_not_chained_is_not_good(tmp_path: Path) -> None:
    """There is nothing to verify, which must not look like success."""
    log = tmp_path / "audit.jsonl"
    log.write_bytes(b'{"event":"started"}\n')
    result = run("audit", "verify", log, "--key", "missing.pub")
    assert (result.exit_code, "missing.pub cannot be read" in result.stderr) == (2, True)
    (tmp_path / "key.pub").write_bytes(public_pem(KEY.public_key()))
    result = run("audit", "verify", log, "--key", tmp_path / "key.pub")
    assert (result.exit_code, "no line is chained" in result.output) == (1, True)


def test_search_prints_a_table_or_the_lines(tmp_path: Path) -> None:
    """Nothing found is 1; --json gives the lines of the log."""
    config, _ = configured(tmp_path)
    result = run("audit", "search", "--config", config, "--path", "/3")
    assert (result.exit_code, result.output.count("file-deleted"), 'path="/3"' in result.output) == (0, 1, True)
    (line,) = run("audit", "search", "--config", config, "--path", "/3", "--json").output.splitlines()
    assert (json.loads(line)["path"], json.loads(line)["seq"]) == ("/3", 4)
    assert run("audit", "search", "--config", config, "--user", "mallory").exit_code == 1
    assert run("audit", "search", "--config", config, "--since", "yesterday").exit_code == 2


def test_search_escapes_what_could_control_a_terminal(tmp_path: Path) -> None:
    """A file name is what a client says it is."""
    log = tmp_path / "audit.jsonl"
    event = {
        "time": "2026-01-01T00:00:00.000000Z",
        "event": "file-deleted",
        "user": "m\x1b[2J",
        "path": "/\x1b]0;x\x07\u202e",
    }
    log.write_text(json.dumps(event) + "\n")
    output = run("audit", "search", log).output
    assert all(letter.isprintable() or letter == "\n" for letter in output)
    assert "\\x1b" in output
