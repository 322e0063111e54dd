"""The ways in: serve in the foreground, join as one of several processes, be twistd's service. Imports the reactor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ftpsd.audit.bus import Sink
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.config.sources.source_files import order_of
from ftpsd.control.gate.penalty_tables import penalty_files
from ftpsd.doctor.others.sources_asked import ask_each
from ftpsd.durable.byte_lock import nameless_file
from ftpsd.processes.seat import Place, process_count
from ftpsd.service.daemon import EXIT_BAD_CONFIGURATION, Daemon
from ftpsd.service.listeners import ListenProblem
from ftpsd.service.load import Loaded, load
from ftpsd.service.outside import logs
from ftpsd.service.share import Share, share_turns
from ftpsd.service.signals import listen_for_stop
from ftpsd.service.upgrading.bequest import Bequest
from ftpsd.service.upgrading.birth import be_watched
from ftpsd.service.upgrading.predecessor import Predecessor


def serve(config_path: Path, watch: Sink | None = None) -> int:
    """
    Serve *config_path* in the foreground until SIGINT or SIGTERM; return the exit code.

    *watch* is called with every event of a server of one process.
    """
    # Before the reactor is there: it forks.
    bequest = Bequest.received()
    watched = None if bequest is None else be_watched(bequest)
    from twisted.internet import reactor

    before = None if bequest is None or watched is None else Predecessor(bequest, watched, reactor)
    try:
        loaded = load(config_path)
        logs.begin(loaded.config.log.level)
        turns = nameless_file() if bequest is None else bequest.turns
        if process_count(loaded.config) > 1:
            # Imported here, because it imports this module.
            from ftpsd.processes.supervising import supervise

            return supervise(loaded, config_path, reactor, turns, before)
        share_turns(turns)
        tables = (bequest and bequest.penalty_tables) or penalty_files()
        share = Share.alone(loaded.config, reactor, turns, tables)
        daemon = Daemon(loaded, config_path, reactor, share, before=before)
        if watch is not None:
            daemon.parts.bus.subscribe(watch)
        daemon.open()
    except ConfigErrors as problem:
        for error in problem.errors:
            logs.tell_error(error)
        return _refused(bequest, [str(error) for error in problem.errors])
    except ListenProblem as problem:
        logs.tell_error(problem.told(config_path))
        return _refused(bequest, [problem.told(config_path)])
    _run(daemon, reactor)
    return daemon.exit_code


def _refused(bequest: Bequest | None, reasons: list[str]) -> int:
    """Tell the process that wants this one as its successor why there will be none; return the exit code."""
    if bequest is not None:
        bequest.tell("refused", reasons=reasons)
    return EXIT_BAD_CONFIGURATION


def join(place: str) -> int:
    """Serve as one of several processes, at the *place* that the supervisor has written; return the exit code."""
    from twisted.internet import reactor

    from ftpsd.processes.member import serve_at

    return serve_at(Place.from_text(place), reactor)


def make_service(config_path: Path, *, in_background: bool = False) -> IService:
    """
    Return the service that twistd runs: always in its one process, which may be going into the background.

    Raises:
        ConfigErrors: all that is wrong with the configuration.
    """
    from twisted.internet import reactor

    loaded = load(config_path)
    if process_count(loaded.config) > 1:
        # twistd owns signals, log and background; a supervisor has to own them too.
        sentence = "twistd runs one process; write processes: 1, or start the server with `ftpsd serve`"
        raise ConfigErrors((loaded.config.complaint(("processes",), sentence),))
    if in_background and loaded.config.audit.log == "stdout":
        sentence = "in the background standard output is /dev/null, and the log lost; write a file, or use twistd -n"
        raise ConfigErrors((loaded.config.complaint(("audit", "log"), sentence),))
    daemon = Daemon(loaded, config_path, reactor)

    def begin() -> None:
        # twistd's own handlers make it end by the signal, as if it had been killed; a clean stop is exit 0 here too.
        daemon.drain = listen_for_stop(reactor, reactor.stop, daemon.cut)
        daemon.reloader.listen_for_hangup()

    # twistd may fork between here and the start: signals and threads belong behind it.
    reactor.callWhenRunning(begin)
    return daemon


def ask_sources(loaded: Loaded) -> dict[str, str]:
    """Return why each remote source of users does not answer, "" where it does. Once in a process."""
    from twisted.internet import reactor

    answers: dict[str, str] = {}
    if all(name == "file" for name in order_of(loaded.config)):
        return answers

    running: Any = reactor
    ends: list[object] = []

    def end(result: object) -> None:
        ends.append(result)
        running.stop()

    def begin() -> None:
        Deferred.fromCoroutine(ask_each(loaded, reactor)).addCallback(answers.update).addBoth(end)

    running.callWhenRunning(begin)
    running.run()
    for each in ends:
        if isinstance(each, Failure):
            each.raiseException()
    return answers


def _run(daemon: Daemon, reactor: Any) -> None:
    """Run the reactor until a signal has stopped the daemon."""

    def begin() -> None:
        stop = lambda: daemon.stopService().addBoth(lambda _: reactor.stop())  # noqa: E731
        daemon.drain = listen_for_stop(reactor, stop, daemon.cut)
        daemon.reloader.listen_for_hangup()
        daemon.startService()

    reactor.callWhenRunning(begin)
    reactor.run()
