"""
`twistd ftpsd`: the same daemon as `ftpsd serve`, started by Twisted's own program.

A configuration error ends twistd with exit code 2 and one line an error on standard error, before it goes into the
background.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from twisted.application.service import IService
from twisted.python import usage

from ftpsd import start
from ftpsd.config.default_path import default_config
from ftpsd.config.parsing.document import ConfigErrors
from ftpsd.service import daemon
from ftpsd.service.outside import logs


class Options(usage.Options):
    """The command line behind `twistd ftpsd`."""

    synopsis = "[--config FILE]"
    longdesc = "Serve files over FTPS, as the configuration file says."
    optParameters: ClassVar[list[list[str | None]]] = [["config", "c", None, "The configuration file (ftpsd.yaml)."]]

    def postOptions(self) -> None:
        """Take the configuration that `ftpsd serve` would."""
        if self["config"] is None:
            self["config"] = str(default_config())


def makeService(options: Options) -> IService:
    """Return the service that twistd runs."""
    try:
        in_background = options.parent is not None and not options.parent["nodaemon"]
        return start.make_service(Path(options["config"]), in_background=in_background)
    except ConfigErrors as problem:
        for error in problem.errors:
            logs.tell_error(error)
        raise SystemExit(daemon.EXIT_BAD_CONFIGURATION) from None
