"""
Users as all other parts of the server know them: plain values, with everything that roles give them in place.

The hash of a password does not stand in a record's repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from ftpsd.config.accept.accept_rules import AcceptRule
from ftpsd.config.fields import Network
from ftpsd.values.login.hours import Hours
from ftpsd.values.login.login_method import CertificateMatch, LoginMethod
from ftpsd.values.login.second_factor import SecondFactor
from ftpsd.values.path import VirtualPath
from ftpsd.values.permission import Permission
from ftpsd.values.quota import Quota
from ftpsd.values.rule import TREE, Rule


@dataclass(frozen=True, slots=True)
class Mount:
    """
    A *directory* at *path*; *rules* are about paths below it, seen from it, and None means full access.

    *encryption* names the keys that its files are encrypted with, None for plain files.
    """

    path: VirtualPath
    directory: Path
    rules: tuple[Rule, ...] | None = None
    role: str | None = None
    stored_encoding: str = "utf-8"
    encryption: str | None = None


@dataclass(frozen=True, slots=True)
class ReceiptTerms:
    """Receipts in *directory* of the home, *of* "uploads", "downloads" or both, *most* of them, for *keep* seconds."""

    directory: VirtualPath
    of: frozenset[str]
    keep: float
    most: int

    @property
    def rule(self) -> Rule:
        """The rule of the home that goes before all others: the user reads receipts, and changes nothing of them."""
        return Rule(f"{self.directory}/{TREE}", frozenset({Permission.LIST, Permission.READ}))


@dataclass(frozen=True, slots=True)
class UserRecord:
    """
    One user, as the file or another place describes it.

    *rules* None means full access to the home, and *role* names where they come from, None for rules of the user's or
    the *group*'s own. *networks* empty means from anywhere, *hours* empty at any time. Rates are bytes per second, and
    None in *sessions*, a rate or *data_session_reuse* means "as the server says". *upload_end* "fin" takes a FIN for
    the end of an upload that no close_notify ended. *encoding* is how the client writes names, *stored_encoding* how
    they are written in the home, *encryption* the keys that its files are encrypted with, None for plain files.
    *authentication* None means "as the host says", and *certificates* are those of the user. *second_factor* None
    means that the user needs none. *accounts* is where the user was found (`auth/accounts.py`): a place in a chain, and
    in a chain within; empty for accounts that stand alone. *entry* is a remote source's own name for the user.
    *preflight* marks an account in which clients are tried: its data connections and uploads need no proof, and what is
    seen of them is told. *receipts* None means that the user gets none; *rules* have theirs in front.
    *accept* are the rules about the content of uploads of all roles that the user has, by paths as the user sees them.
    """

    name: str
    password: str | None = field(repr=False)
    home: Path
    rules: tuple[Rule, ...] | None = None
    networks: tuple[Network, ...] = ()
    enabled: bool = True
    expires: datetime | None = None
    sessions: int | None = None
    download_rate: int | None = None
    upload_rate: int | None = None
    data_session_reuse: Literal["offered"] | None = None
    upload_end: Literal["close-notify", "fin"] = "close-notify"
    role: str | None = None
    mounts: tuple[Mount, ...] = ()
    quota: Quota | None = None
    encoding: str = "utf-8"
    stored_encoding: str = "utf-8"
    group: str | None = None
    hours: tuple[Hours, ...] = ()
    authentication: LoginMethod | None = None
    certificates: tuple[CertificateMatch, ...] = ()
    second_factor: SecondFactor | None = None
    encryption: str | None = None
    accept: tuple[AcceptRule, ...] = ()
    receipts: ReceiptTerms | None = None
    preflight: bool = False
    accounts: tuple[int, ...] = field(default=(), compare=False)
    entry: str = field(default="", compare=False, repr=False)
