"""The room that is left in the quarantine: what does not fit is not kept, and hidden uploads are refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ftpsd.config.model import Config
from ftpsd.config.users import UserRecord
from ftpsd.doctor.finding import Finding, ok, problem, warning
from ftpsd.scanning.quarantine import MOST_FILES, Quarantine
from ftpsd.scanning.waiting.hidden_place import HiddenPlace

# Of a hundred: beyond it somebody should look.
MUCH: Final = 80
MIB: Final = 1 << 20


def look_at_quarantine(config: Config, known: Sequence[UserRecord]) -> Iterator[Finding]:
    """Yield what is found about the quarantine, where accept rules may need it. Blocks."""
    rules = (*config.accept, *(rule for user in known for rule in user.accept))
    if not rules:
        return
    section = config.quarantine
    quarantine = Quarantine(section.directory, section.max_size)
    places: dict[str, Quarantine | HiddenPlace] = {"the quarantine": quarantine}
    if any(rule.accept == "hidden" for rule in rules):
        places["the place of hidden uploads"] = HiddenPlace(section.directory, section.max_size)
    for name, place in places.items():
        try:
            files, size = place.size()
        except OSError as error:
            yield warning(f"{name} {place.directory} cannot be looked at: {error.strerror}", "run this as root")
            continue
        used = max(100 * files // MOST_FILES, 100 * size // max(section.max_size, 1))
        told = f"{name} has {files} of {MOST_FILES} files and {size / MIB:.1f} of {section.max_size / MIB:.0f} MiB"
        remedy = "look at `ftpsd quarantine list`, then release or purge; or raise quarantine.max_size"
        if used >= 100:
            yield problem(f"{told}: what is refused now is not kept", remedy)
        elif used >= MUCH:
            yield warning(told, remedy)
        else:
            yield ok(told)
