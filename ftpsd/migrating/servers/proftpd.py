"""ProFTPD: proftpd.conf and the files that it includes, AuthUserFile and AuthGroupFile; limits become rules."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ftpsd.migrating import numbers
from ftpsd.migrating.account_lines import Account, read_accounts, read_groups, read_names
from ftpsd.migrating.migration import Migration, Person
from ftpsd.migrating.old_machine import MigrationError, OldMachine
from ftpsd.migrating.servers.proftpd_blocks import Block, BlockReader
from ftpsd.migrating.servers.proftpd_rights import (
    Someone,
    is_on,
    judged,
    limits,
    login_networks,
    matches,
    rules,
    unknown_words,
)
from ftpsd.migrating.servers.proftpd_words import CLOSED, OF_OURSELVES, OTHER_BLOCKS

_OF_RULES: Final = frozenset({"allowoverwrite", "allowstorerestart"})
_FIRST_OF_PEOPLE: Final = 1000
_NOBODY: Final = 65534
_NUMBERS: Final = (
    ("maxinstances", "limits.connections"),
    ("maxclients", "limits.connections"),
    ("maxclientsperhost", "limits.connections_per_address"),
    ("maxclientsperuser", "limits.sessions_per_user"),
    ("maxloginattempts", "limits.failed_logins"),
)
_TIMES: Final = (
    ("timeoutlogin", "limits.login_timeout"),
    ("timeoutidle", "limits.idle_timeout"),
    ("timeoutstalled", "limits.stall_timeout"),
)


class Mover:
    """Collects what becomes of one proftpd.conf."""

    def __init__(self, machine: OldMachine, path: Path) -> None:
        reader = BlockReader(machine)
        self.machine = machine
        self.top = reader.read(path)
        self.made = Migration("ProFTPD")
        self._told: set[str] = set()
        for each in reader.missing:
            self.made.leave(each.place, "Include", "the file is not there; WHAT IT SAYS IS MISSING HERE")

    def word(self, name: str, at: int = 0) -> str | None:
        """Return one word of the directive called *name* that counts."""
        found = self.top.last(name)
        self._told.add(name)
        return found.words[at] if found is not None and len(found.words) > at else None

    def place(self, name: str) -> str:
        """Return where the directive called *name* stands."""
        found = self.top.last(name)
        return "ProFTPD's default" if found is None else found.place

    def carry(self, name: str, key: str, value: object, but: str = "") -> None:
        """Set *key* where there is a value; else say that the directive has none that fits."""
        if value is not None:
            self.made.carry(self.place(name), name, key, value, but)
        elif self.word(name) is not None:
            self.made.leave(self.place(name), name, "ftpsd has its own value", key)

    def move(self, passwd: Path | None, shadow: Path | None) -> Migration:
        """Do all of it."""
        self._server()
        self._protection()
        for name, key in _NUMBERS:
            self.carry(name, key, numbers.count(self.word(name) or ""))
        for name, key in _TIMES:
            self.carry(name, key, numbers.seconds(self.word(name) or ""))
        self._rates()
        self._people(passwd, shadow)
        self._rest()
        return self.made

    def _server(self) -> None:
        port = numbers.port(self.word("port") or "") or 21
        is_ipv6 = is_on(self.top.last("useipv6"), otherwise=True)
        place = numbers.address(self.word("defaultaddress") or "") or ("::" if is_ipv6 else "0.0.0.0")
        mode = "implicit" if self.has("tlsoptions", "UseImplicitSSL") else "explicit"
        self.carry("port", "listeners", [{"mode": mode, "address": place, "port": port}])
        self._told |= {"useipv6"}
        low, high = self.word("passiveports") or "", self.word("passiveports", 1) or ""
        why = "" if numbers.ports(low, high) else "any port was taken; ftpsd has a range, which a firewall can open"
        self.carry("passiveports", "passive.ports", numbers.ports(low, high) or "3000-3050", why)
        self.carry("masqueradeaddress", "passive.public_address", numbers.public(self.word("masqueradeaddress") or ""))
        self.made.settings["active.source_port"] = 0
        self.carry("umask", "uploads.umask", numbers.mode(self.word("umask") or "022"))
        if self.word("umask", 1) not in (None, self.word("umask")):
            self.made.leave(self.place("umask"), "umask of directories", "files and directories have one", "uploads")
        self.carry("serverident", "banner", numbers.line(self.word("serverident", 1) or ""))

    def has(self, name: str, word: str) -> bool:
        """Return whether a directive that can be there several times has *word*."""
        self._told.add(name)
        return any(word.lower() == each.lower() for d in self.top.directives if d.name == name for each in d.words)

    def _protection(self) -> None:
        asked = (self.word("tlsrequired") or "off").lower()
        if not is_on(self.top.last("tlsengine"), otherwise=False):
            why = (
                "passwords and files went in clear, and still may. Tell clients to use TLS, then take out "
                "`require: none`; a certificate is needed all the same"
            )
            self.made.carry(self.place("tlsengine"), "TLSEngine off", "tls.require", "none", why)
        elif asked in ("on", "true", "yes"):
            self.carry("tlsrequired", "tls.require", "control-and-data")
        elif asked in ("ctrl", "auth", "ctrl+!data", "auth+!data"):
            self.carry("tlsrequired", "tls.require", "control")
        elif asked in ("auth+data", "ctrl+data"):
            self.carry("tlsrequired", "tls.require", "control-and-data")
        else:
            self.carry("tlsrequired", "tls.require", "none", "" if asked == "off" else "said something else")
        self._told |= {"tlsengine"}
        pairs = []
        for kind in ("tlsec", "tlsrsa"):
            certificate = numbers.file(self.word(f"{kind}certificatefile") or "")
            key = numbers.file(self.word(f"{kind}certificatekeyfile") or "") or certificate
            if certificate and key:
                pairs.append((kind, {"certificate": certificate, "private_key": key}))
        for kind, pair in pairs[:1]:
            self.carry(f"{kind}certificatefile", "tls.certificate", pair["certificate"])
            self.made.settings["tls.private_key"] = pair["private_key"]
        if pairs[1:]:
            self.carry(f"{pairs[1][0]}certificatefile", "tls.also", [pairs[1][1]])
        if self.word("tlscertificatechainfile"):
            why = "append these certificates to the file of the server's certificate"
            self.made.leave(self.place("tlscertificatechainfile"), "TLSCertificateChainFile", why, "tls")
        authority = numbers.file(self.word("tlscacertificatefile") or "")
        verify = (self.word("tlsverifyclient") or "off").lower()
        if verify in ("on", "optional"):
            given = {
                "request": "required" if verify == "on" else "optional",
                "authorities": authority or "tls/clients.pem",
            }
            self.carry("tlsverifyclient", "tls.client_certificates", given)
        if is_on(self.top.last("tlsengine"), otherwise=False):
            is_free = self.has("tlsoptions", "NoSessionReuseRequired")
            self.carry("tlsoptions", "tls.data_session_reuse", "offered" if is_free else "required")

    def _rates(self) -> None:
        self._told.add("transferrate")
        for each in self.top.directives:
            if each.name != "transferrate" or len(each.words) < 2:
                continue
            try:
                rate = round(float(each.words[1].partition(":")[0]) * 1024)
            except (ValueError, OverflowError):
                rate = 0
            if len(each.words) > 2 or not 1 <= rate < 2**50:
                self.made.leave(each.place, "TransferRate", "of some users alone: write it into users.yaml", "limits")
                continue
            commands = each.words[0].upper().split(",")
            for word, key in (("RETR", "limits.download_rate"), ("STOR", "limits.upload_rate")):
                if word in commands:
                    self.made.carry(each.place, "TransferRate", key, rate)

    def _file(self, name: str) -> Path | None:
        said = self.word(name)
        return None if said is None else self.machine.find(said)

    def _people(self, passwd: Path | None, shadow: Path | None) -> None:
        own, groups = self._file("authuserfile"), self._file("authgroupfile")
        accounts = [] if own is None else read_accounts(self.machine, own)
        if passwd is not None:
            of_machine = read_accounts(self.machine, passwd, shadow)
            accounts += [a for a in of_machine if a.uid is not None and _FIRST_OF_PEOPLE <= a.uid < _NOBODY]
        elif own is None:
            why = "are those of the machine: give --passwd /etc/passwd --shadow /etc/shadow to have them in users.yaml"
            self.made.leave(self.place("authorder"), "users and passwords", why, "users")
        members = {} if groups is None else read_groups(self.machine, groups)
        shells, shut = self._shells(), self._shut()
        for account in accounts:
            person = self.made.person(account.name, account.place)
            if person is None:
                continue
            person.set_hash(account.stored)
            mine = frozenset(
                name
                for name, (gid, names) in members.items()
                if account.name in names or (gid is not None and gid == account.gid)
            )
            self._describe(person, account, mine)
            if account.name in shut:
                person.shut_out("/etc/ftpusers keeps this user out")
            if account.uid == 0 and not is_on(self.top.last("rootlogin"), otherwise=False):
                person.shut_out("RootLogin is off")
            if shells is not None and account.shell is not None and account.shell not in shells:
                person.shut_out("RequireValidShell: the shell is not in /etc/shells")
        self._told |= {
            "requirevalidshell",
            "rootlogin",
            "useftpusers",
            "authorder",
            "allowoverwrite",
            "allowstorerestart",
        }

    def _shells(self) -> frozenset[str] | None:
        if not is_on(self.top.last("requirevalidshell"), otherwise=True):
            return None
        try:
            return read_names(self.machine, self.machine.find("/etc/shells"))
        except MigrationError:
            return frozenset({"/bin/sh", "/bin/csh"})

    def _shut(self) -> frozenset[str]:
        try:
            is_asked = is_on(self.top.last("useftpusers"), otherwise=True)
            return read_names(self.machine, self.machine.find("/etc/ftpusers")) if is_asked else frozenset()
        except MigrationError:
            return frozenset()

    def _describe(self, person: Person, account: Account, groups: frozenset[str]) -> None:
        self._told.add("defaultroot")
        root = None
        for each in self.top.directives:
            if each.name == "defaultroot" and each.words and root is None:
                someone = Someone(account.name, groups, ())
                if not each.words[1:] or matches(list(each.words[1:]), someone, is_of_groups=True, is_any=False):
                    root = each.words[0]
        home = account.home
        if root is None:
            person.remarks.append("changed: could leave the home for the rest of the machine, and cannot any more")
        elif root.startswith("~/"):
            home = f"{account.home.rstrip('/')}/{root[2:]}"
        elif root != "~":
            home = root.replace("%u", account.name)
            if account.home.rstrip("/") != home.rstrip("/"):
                person.remarks.append("changed: began in the home below this directory, and begins in / now")
        person.set_home(home)
        parts = tuple(part for part in str(person.values["home"]).split("/") if part)
        someone = Someone(account.name, groups, parts)
        found, unsaid = rules(self.top, someone)
        person.set_rules(found)
        for place in unsaid:
            person.shut_out(f"no rule can have the path of the Directory at {place}")
        for limit in limits(self.top):
            if "LOGIN" in {word.upper() for word in limit.words}:
                networks = login_networks(limit)
                if networks is not None:
                    person.values["networks"] = networks
                elif judged(limit, someone) is False:
                    person.shut_out(f"the LOGIN limit at {limit.place}")

    def _rest(self) -> None:
        for place, word in unknown_words(self.top):
            self.made.leave(place, f"Limit {word[:20]}", "THERE IS NO PERMISSION FOR THIS COMMAND; look at it")
        for block in self.top.blocks:
            if block.name == "directory":
                self._unsaid(block)
            if block.name in OTHER_BLOCKS:
                self.made.leave(block.place, block.name, OTHER_BLOCKS[block.name])
            elif block.name not in ("limit", "directory"):
                self.made.leave(block.place, block.name[:40], "ftpsd has nothing in its place")
        for each in self.top.directives:
            if each.name in self._told or each.name in dict(_NUMBERS) or each.name in dict(_TIMES):
                continue
            if each.name in OF_OURSELVES:
                self.made.carry(each.place, each.name)
            else:
                self.made.leave(each.place, each.name[:40], CLOSED.get(each.name, "ftpsd has nothing in its place"))

    def _unsaid(self, directory: Block) -> None:
        """Tell of what stands in a directory beside its limits."""
        for each in directory.directives:
            if each.name not in _OF_RULES:
                self.made.leave(each.place, each.name[:40], "IS SAID OF A DIRECTORY, and has nothing in its place")
        for block in directory.blocks:
            if block.name != "limit":
                self.made.leave(block.place, block.name[:40], "IS SAID IN A DIRECTORY, and is not carried over")


def migrate(machine: OldMachine, path: Path, passwd: Path | None, shadow: Path | None) -> Migration:
    """Read proftpd.conf at *path*, with users of its own and those of *passwd*. Raises: MigrationError."""
    mover = Mover(machine, path)
    return mover.move(passwd, shadow)
