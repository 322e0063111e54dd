"""Accept rules of roles: what is wrong with them beside the file they are in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ftpsd.config.accept.accept_rules import accept_contradictions
from ftpsd.config.model import Config
from ftpsd.config.parsing.document import ConfigError
from ftpsd.config.users import Users


def look_at_role_rules(config: Config, everybody: Sequence[Users]) -> Iterator[ConfigError]:
    """Yield a complaint for each role whose rules ask nothing, or that uploads of *config* would go past."""
    for users in everybody:
        roles = {} if users.entries is None else users.entries.roles
        for name, role in roles.items():
            for key, message in accept_contradictions(role.accept, config.uploads.mode):
                yield users.complaint(("roles", name, *key), message)
