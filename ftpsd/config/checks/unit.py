"""
The unit that systemd runs the daemon by, as far as the configuration has to fit it: its user, and how long it may stop.

Read as systemd reads it (systemd.unit(5)): the first file of its name, then the drop-ins in the order of their names,
later lines over earlier ones. Where none is installed, the values are those of the unit that comes with ftpsd.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAME: Final = "ftpsd.service"
# The order of systemd.unit(5).
FOLDERS: Final = tuple(
    Path(folder) for folder in ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system")
)
# TimeoutStopSec= of systemd/ftpsd.service.
STOP_TIMEOUT: Final = 360.0

_LINE: Final = re.compile(r"\s*([A-Za-z]+)\s*=\s*(.*?)\s*")
_SPAN: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ]*)\s*")
# systemd.time(7).
_UNITS: Final = {
    **dict.fromkeys(("us", "usec", "µs"), 1e-6), **dict.fromkeys(("ms", "msec"), 1e-3),
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0), **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0), **dict.fromkeys(("w", "week", "weeks"), 604800.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unit:
    """
    The settings of the unit; *file* None: none is installed.

    *stop_timeout* is in seconds, None for no bound; *user* None is root.
    """

    file: Path | None = None
    user: str | None = None
    command: str = ""
    stop_timeout: float | None = STOP_TIMEOUT

    def serves(self, folder: Path) -> bool:
        """Return whether it starts the daemon on a configuration in *folder*."""
        return self.file is not None and f"{folder}/" in self.command


def installed_unit(folders: tuple[Path, ...] = FOLDERS) -> Unit:
    """Return the unit that is installed. Blocks."""
    file = next((folder / NAME for folder in folders if (folder / NAME).is_file()), None)
    if file is None:
        return Unit()
    drop_ins: dict[str, Path] = {}
    for folder in reversed(folders):
        drop_ins.update((path.name, path) for path in (folder / f"{NAME}.d").glob("*.conf"))
    settings: dict[str, str] = {}
    for path in (file, *(drop_ins[name] for name in sorted(drop_ins))):
        settings.update(_service_section(path))
    timeout = settings.get("TimeoutStopSec", settings.get("TimeoutSec", ""))
    return Unit(
        file=file,
        user=settings.get("User") or None,
        command=settings.get("ExecStart", ""),
        stop_timeout=STOP_TIMEOUT if not timeout else _seconds(timeout),
    )


def _service_section(path: Path) -> dict[str, str]:
    """Return the settings of [Service], the last of each name; {} for a file that cannot be read."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    settings: dict[str, str] = {}
    section = ""
    for line in lines:
        if line.startswith("["):
            section = line.strip()
        elif section == "[Service]" and (match := _LINE.fullmatch(line)):
            settings[match[1]] = match[2]
    return settings


def _seconds(text: str) -> float | None:
    """Return a span such as "6min" or "1h 30s" in seconds; None for no bound, or text that is no span."""
    parts = _SPAN.findall(text)
    if text == "infinity" or not parts or _SPAN.sub("", text) or any(unit not in _UNITS for _, unit in parts):
        return None
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    # 0 is "infinity" (systemd.service(5)).
    return total or None
