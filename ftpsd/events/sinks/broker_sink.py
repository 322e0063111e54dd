"""
A broker of messages as a sink: a child process is its client (ftpsd/brokers), and takes a message when the broker has.

The child is started with the first event, and anew with the next attempt behind its death; what had no answer then is
not taken. The account goes to it on its standard input: no password is in an argument or an environment.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from ftpsd.brokers.envelopes import LONGEST, Account, Message
from ftpsd.config.automation.event_sinks import Broker, EventSink
from ftpsd.config.automation.sink_files import SinkFiles
from ftpsd.events.record_tables import Record
from ftpsd.events.sinks.cloud_event import cloud_event
from ftpsd.events.sinks.receiver import NotTaken

TIMEOUT: Final = 15.0
# Seconds beyond its own timeout in which a child has to answer; then it hangs, and is killed.
PATIENCE: Final = 10.0
# Characters of standard error that the log takes of one child: a traceback.
MOST_SAID: Final = 4000
ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}

log = Logger()


class BrokerSink:
    """The broker of *settings*; *files* are those that it names."""

    most = 1

    def __init__(self, settings: EventSink, files: SinkFiles, reactor: Any) -> None:
        assert settings.broker is not None
        self._name = settings.name
        self._broker = settings.broker
        self._timeout = settings.timeout or TIMEOUT
        self._account = account_of(settings.broker, files, self._timeout)
        self._reactor = reactor
        self._child: _Child | None = None
        self._number = 0

    def send(self, records: Sequence[Record]) -> Deferred[None]:
        """Publish the one of *records*."""
        (record,) = records
        self._number += 1
        topic = self._broker.topic.replace("{event}", record.event)
        body = cloud_event(record, with_file=False).decode("ascii")
        key = record.keys[0] if record.keys else record.id
        message = Message(self._number, record.id, key, record.event, topic, body)
        if self._child is None or self._child.has_ended:
            self._child = _Child(self._name, self._account)
            self._child.start(self._reactor)
        child = self._child
        answer = child.ask(message)
        answer.addTimeout(self._timeout + PATIENCE, self._reactor, lambda *_: child.hangs())
        return answer

    def stop(self) -> None:
        """Break off what is under way."""
        if self._child is not None:
            self._child.kill()


class _Child(ProcessProtocol):
    """The process that is the client of one broker."""

    def __init__(self, name: str, account: Account) -> None:
        self.has_ended = False
        self._name = name
        self._account = account
        self._waiting: dict[int, Deferred[None]] = {}
        self._rest = b""
        self._said = ""

    def start(self, reactor: Any) -> None:
        """Start it, and tell it the account."""
        # Not -I: an installation may be an editable one. -P: nothing comes from the working directory.
        environ = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        reactor.spawnProcess(self, sys.executable, [sys.executable, "-P", "-m", "ftpsd.brokers"], environ, path="/")
        self._write(asdict(self._account))

    def ask(self, message: Message) -> Deferred[None]:
        """Fire when the broker has taken *message*; fail with NotTaken."""
        # An answer that comes when nobody waits any more is thrown away.
        answer: Deferred[None] = Deferred(lambda _: None)
        self._waiting[message.n] = answer
        self._write(asdict(message))
        return answer

    def hangs(self) -> None:
        """End it: it has not answered. Raises: NotTaken."""
        self.kill()
        raise NotTaken("its client has not answered")

    def kill(self) -> None:
        """End it at once."""
        if self.transport is not None and not self.has_ended:
            try:
                self.transport.signalProcess("KILL")
            except ProcessExitedAlready:
                pass  # it was faster

    def _write(self, value: Mapping[str, Any]) -> None:
        if self.transport is not None:
            self.transport.write(json.dumps(value).encode("ascii") + b"\n")

    # --- ProcessProtocol

    def outReceived(self, data: bytes) -> None:
        """Take answers."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST:
            self.kill()
            return
        for line in lines:
            self._answered(json.loads(line))

    def _answered(self, told: dict[str, Any]) -> None:
        answer = self._waiting.pop(told["n"], None)
        if answer is None or answer.called:
            return
        if "error" in told:
            answer.errback(NotTaken(told["error"]))
        else:
            answer.callback(None)

    def errReceived(self, data: bytes) -> None:
        """Keep what it says of its own mistakes."""
        self._said = (self._said + data.decode("utf-8", "replace"))[-MOST_SAID:]

    def processEnded(self, reason: Failure) -> None:
        """Fail what is under way."""
        self.has_ended = True
        if self._said:
            log.error("the client of the sink {sink} has said: {said}", sink=self._name, said=self._said)
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.called:
                answer.errback(NotTaken("its client has died"))


def account_of(broker: Broker, files: SinkFiles, timeout: float) -> Account:
    """Return what *broker* means, with the contents of its *files*."""
    return Account(
        kind=broker.kind,
        servers=broker.servers,
        tls=broker.tls,
        user=broker.user,
        password=files.secrets[0].decode("utf-8", "replace") if files.secrets else None,
        authority=None if files.authority is None else files.authority.decode("latin-1"),
        exchange=broker.exchange,
        virtual_host=broker.virtual_host,
        mechanism=broker.mechanism,
        timeout=timeout,
    )
