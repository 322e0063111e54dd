"""`ftpsd audit key`, `verify`, `search` and `events`: the audit log as evidence."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ftpsd.cli.terminal import EXIT_PROBLEM, FILE, complain, config_option, counted, given_or_default, shown

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from ftpsd.audit.evidence.verify import Report

_AGO: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
# The keys that stand in columns of their own, or are of no use to people.
_NOT_SHOWN: Final = frozenset(
    {"time", "event", "session", "user", "peer", "listener", "seq", "prev", "signature", "host"}
)
_WIDTHS: Final = (27, 20, 12, 15, 8, 0)


@click.group()
def audit() -> None:
    """Make the key of the audit log, check the log, search it, list its events."""


@audit.command()
@click.argument("file", type=FILE)
@click.option("--public", type=FILE, metavar="FILE", help="Where the public part goes; else beside it, as .pub.")
def key(file: Path, public: Path | None) -> None:
    """
    Make the Ed25519 key for audit.chain, into FILE, and its public part beside it.

    Keep the public part on another machine: `ftpsd audit verify --key` needs it there.
    """
    from ftpsd.audit.evidence.keys import make_key
    from ftpsd.audit.evidence.link import name_of

    beside = public or file.with_name(file.name + ".pub")
    try:
        made = make_key(file, beside)
    except FileExistsError as error:
        complain([f"{error.filename} is there already, and no key is written over; name another file"])
    except OSError as error:
        complain([f"{error.filename or file} cannot be written: {error.strerror}"])
    click.echo(f"{shown(str(file))}\n{shown(str(beside))}\n{name_of(made.public_key())}")


@audit.command("events")
def list_events() -> None:
    """List the events that the audit log can have: the words of audit.events."""
    from ftpsd.audit.topics.every_event import logged_events

    click.echo("\n".join(sorted(logged_events())))


@audit.command()
@click.argument("files", type=FILE, nargs=-1)
@click.option("--key", "keys", type=FILE, multiple=True, metavar="PUB", help="A public key; else that of --config.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@config_option
def verify(files: Sequence[Path], keys: Sequence[Path], as_json: bool, config: Path | None) -> None:
    """
    Check the chained audit log, FILEs or else that of --config with its rotated files, and name the first bad line.

    Ends with 1 where a line was changed, removed, inserted or swapped, the log was cut off, or a signature is bad.
    Lines behind the last checkpoint have no signature yet. Lines that a crash has torn, and lines that the log says
    were lost, are told and are no fault.
    """
    from ftpsd.audit.evidence.hash_chain import checkpoint_file
    from ftpsd.audit.evidence.verify import verify as verified

    log = None
    if files and keys and config is not None:
        raise click.UsageError("--config goes without FILE and --key together: both the files and the key are named.")
    if not files or not keys:
        log, own = _configured(config, is_needed=not files)
        keys = keys or own
    there = list(files) or _files_of(log)
    known = [_public_key(file) for file in keys]
    logs = [log, *there] if log is not None else there
    kept = next((found for found in map(checkpoint_file, logs) if found.is_file()), None)
    try:
        report = verified(there, known, None if kept is None else kept.read_bytes())
    except OSError as error:
        complain([f"{error.filename} cannot be read: {error.strerror}"])
    if as_json:
        click.echo(json.dumps(_as_json(report), indent=2))
    else:
        for line in _as_text(report):
            click.echo(line)
    sys.exit(EXIT_PROBLEM if report.broken is not None or not report.lines else 0)


@audit.command()
@click.argument("files", type=FILE, nargs=-1)
@click.option("--user", metavar="NAME", help="Of this user.")
@click.option(
    "--path", metavar="PATH", help="About this path, as the user sees it; * and ? stand for any. Renames are followed."
)
@click.option("--event", metavar="NAME", help="Of this kind, such as file-stored.")
@click.option("--session", metavar="ID", help="Of this session.")
@click.option("--since", metavar="TIME", help="From 2027-01-31T08:00Z (or a day, or 90m, 24h, 7d ago) on.")
@click.option("--until", metavar="TIME", help="Before then.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, the lines of the log.")
@config_option
def search(
    files: Sequence[Path],
    user: str | None,
    path: str | None,
    event: str | None,
    session: str | None,
    since: str | None,
    until: str | None,
    as_json: bool,
    config: Path | None,
) -> None:
    """
    Search the audit log, FILEs or else that of --config with its rotated files, plain or .gz. Ends with 1 for nothing.

    Commands repeat what the events of files say; they are found by --event command alone, or by --session.
    """
    from ftpsd.audit.evidence.search import Search, Wanted

    found = Search(Wanted(user, path, event, session, _moment("--since", since), _moment("--until", until)))
    if files and config is not None:
        raise click.UsageError("--config goes without FILE: the files to be searched are named.")
    log, _ = (None, ()) if files else _configured(config, is_needed=True)
    count = 0
    is_all = event is not None or session is not None
    try:
        for each in found.events(list(files) or _files_of(log)):
            if is_all or each["event"] != "command":
                count += 1
                _print(each, as_json)
    except OSError as error:
        complain([f"{error.filename} cannot be read: {error.strerror}"])
    if found.has_lost_track:
        click.echo("The path has had too many names; some events of later ones are left out.", err=True)
    if not count:
        click.echo("nothing is found", err=True)
    sys.exit(0 if count else EXIT_PROBLEM)


def _configured(config: Path | None, *, is_needed: bool) -> tuple[Path | None, tuple[Path, ...]]:
    """Return the log of the configuration, and the file of its key, as far as there are any and they are needed."""
    from ftpsd.config.parsing.document import ConfigErrors
    from ftpsd.config.reading import load_config

    try:
        section = load_config(given_or_default(config)).audit
    except (ConfigErrors, OSError):
        if is_needed or config is not None:
            raise
        return None, ()
    if isinstance(section.log, str):
        if is_needed:
            raise click.UsageError(f"audit.log is {section.log}, so the log is in no file; name the files to be read.")
        return None, ()
    if section.format != "json":
        if is_needed:
            raise click.UsageError("audit.format is text, for people; only JSON lines can be searched. Use grep.")
        return None, ()
    if section.chain is None:
        return section.log, ()
    public = section.chain.private_key.with_name(section.chain.private_key.name + ".pub")
    return section.log, (public if public.is_file() else section.chain.private_key,)


def _files_of(log: Path | None) -> list[Path]:
    from ftpsd.audit.evidence.log_segments import files_of

    assert log is not None
    try:
        found = files_of(log)
    except OSError as error:
        complain([f"{error.filename} cannot be read: {error.strerror}"])
    if not found:
        complain([f"there is no {log}"])
    return found


def _public_key(file: Path) -> Ed25519PublicKey:
    from ftpsd.audit.evidence.keys import public_key_in

    try:
        return public_key_in(file.read_bytes())
    except OSError as error:
        complain([f"the key {file} cannot be read: {error.strerror}; name the public one with --key"])
    except ValueError:
        complain([f"{file} holds no Ed25519 key in PEM form"])


def _as_json(report: Report) -> dict[str, Any]:
    broken = report.broken
    return {
        "good": broken is None and report.lines > 0,
        "broken": None
        if broken is None
        else {
            "kind": broken.kind,
            "file": str(broken.place.file),
            "line": broken.place.number,
            "text": broken.text,
        },
        "files": [str(file) for file in report.files],
        "not_chained": [str(file) for file in report.unchained],
        "lines": report.lines,
        "first": report.first,
        "last": report.last,
        "checkpoints": report.checkpoints,
        "signatures": "verified" if report.checked else "not checked",
        "last_checkpoint": None
        if report.vouched is None
        else {"file": str(report.vouched.file), "line": report.vouched.number},
        "behind_last_checkpoint": report.unsigned,
        "lost": report.lost,
        "before_the_chain": report.before,
        "torn": [{"file": str(place.file), "line": place.number} for place in report.torn],
    }


def _as_text(report: Report) -> Iterator[str]:
    for file in report.unchained:
        yield f"{shown(str(file))}: no line of it is chained; it is left out"
    if report.broken is not None:
        yield f"{shown(str(report.broken.place))}: {report.broken.kind}: {report.broken.text}"
    if not report.lines:
        yield "no line is chained"
        return
    how = "signatures verified" if report.checked else "signatures not checked: there is no key, see --key"
    checkpoints = counted(report.checkpoints, "checkpoint")
    good = "good up to there" if report.broken is not None else "good"
    yield f"{good}: lines {report.first} to {report.last} in {counted(len(report.files), 'file')}, {checkpoints}, {how}"
    if report.vouched is not None:
        yield f"last checkpoint: {shown(str(report.vouched))}; {counted(report.unsigned, 'line')} behind it"
    if report.first is not None and report.first > 1:
        yield f"lines 1 to {report.first - 1} are in none of these files"
    if report.before:
        yield f"{counted(report.before, 'line')} from before the chain began; nothing vouches for these"
    for place in report.torn:
        yield f"{shown(str(place))}: torn by a crash or a full disk, or still being written"
    if report.lost:
        yield f"{counted(report.lost, 'line')} were lost, as the log itself says (audit-lost)"


def _moment(option: str, text: str | None) -> str | None:
    """Return the moment that *text* names as the log writes it."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            moment = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            moment = datetime.fromisoformat(text)
            # A day, and a time without a zone, are meant as the log has them.
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.UsageError(f"{option}: {text} is no time; write 2027-01-31, 2027-01-31T08:00Z or 24h.") from None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z"


def _print(event: dict[str, Any], as_json: bool) -> None:
    # Not click.echo, which flushes each line, and knows that a closed standard output is None.
    if sys.stdout is None:
        return
    if as_json:
        sys.stdout.write(json.dumps(event, separators=(",", ":")) + "\n")
        return
    details = " ".join(f"{name}={_value(value)}" for name, value in event.items() if name not in _NOT_SHOWN)
    user = str(event.get("user") or "-") + (f"@{event['host']}" if event.get("host") else "")
    session, peer = (str(event.get(name) or "-") for name in ("session", "peer"))
    cells = (event["time"], str(event.get("event")), user, peer, session, details)
    line = " ".join(f"{shown(cell):{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
    sys.stdout.write(f"{line.rstrip()}\n")


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
