"""
The configuration that is served now. A reload and a renewal replace it whole; sessions and logins to come find the new
one.
"""

from __future__ import annotations

from ftpsd.commands import TABLE
from ftpsd.config.model import Listener
from ftpsd.control.factory import ControlFactory
from ftpsd.control.gate.eviction import reconsider
from ftpsd.control.state.hosts import account_of
from ftpsd.control.state.runtime import Runtime
from ftpsd.service.build import build_runtime
from ftpsd.service.changing.addresses import PublicAddresses
from ftpsd.service.listeners import listener_name
from ftpsd.service.load import Loaded
from ftpsd.service.outside import logs
from ftpsd.service.parts import Parts


class Serving:
    """The configuration *loaded*, and the Runtime made of it out of the process's *parts*."""

    def __init__(self, loaded: Loaded, parts: Parts) -> None:
        self.parts = parts
        self.loaded = loaded
        self.runtime: Runtime = build_runtime(loaded, parts)
        self._forget_disabled()

    def use(self, loaded: Loaded) -> None:
        """Serve new sessions and logins from *loaded*, and end the sessions of users who may not log in by it."""
        self.runtime = build_runtime(loaded, self.parts)
        self.loaded = loaded
        self._forget_disabled()
        logs.use_level(loaded.config.log.level)
        reconsider(self.parts.sessions)
        self.refresh_addresses()

    def _forget_disabled(self) -> None:
        """Ask for the code of a second factor again when a user who is disabled comes back."""
        self.parts.factors.forget(
            account_of(host, name) for host, users in self.loaded.by_host() for name in users.disabled()
        )

    def refresh_addresses(self) -> None:
        """Look the DNS names of `passive.public_address` up again."""
        addresses = self.runtime.public_address
        if isinstance(addresses, PublicAddresses):
            addresses.refresh()

    def factory(self, listener: Listener, port: int) -> ControlFactory:
        """Return the maker of the sessions of *listener* on *port*: each begins with the configuration served then."""
        name, is_implicit = listener_name(listener, port), listener.mode == "implicit"
        sessions, place = self.parts.sessions, listener.place
        return ControlFactory(name, lambda: self.runtime, TABLE, sessions, starts_with_tls=is_implicit, place=place)
