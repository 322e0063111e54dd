"""Pure-FTPd: pure-ftpd.conf or Debian's folder with a file for each option, and the text of virtual users."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from ftpsd.migrating import numbers
from ftpsd.migrating.account_lines import read_accounts
from ftpsd.migrating.migration import Migration, Person, networks_of, without
from ftpsd.migrating.old_machine import MigrationError, OldMachine
from ftpsd.values.permission import ALL, Permission

_OPTION: Final = re.compile(r"([A-Za-z][A-Za-z0-9]*)[ \t]+(.*)")
_HOURS: Final = re.compile(r"([0-9]{1,4})-([0-9]{1,4})")
_ZONE: Final = re.compile(r"[A-Za-z_+-]+(/[A-Za-z0-9_+-]+){0,2}")
_FIELDS: Final = 18
_MOST_RATE: Final = 2**50
# Options whose absence of a setting of ours is no loss, in small letters.
_OF_OURSELVES: Final = frozenset(
    {
        "daemonize", "brokenclientscompatibility", "verboselog", "syslogfacility", "dontresolve", "maxload", "minuid",
        "allowuserfxp", "allowanonymousfxp", "antiwarez", "customerproof", "maxdiskusage", "limitrecursion", "pidfile",
        "fscharset", "anonymouscancreatedirs", "anonymouscantupload", "anonymousonly", "unixauthentication",
        "pamauthentication", "puredb", "chrooteveryone", "norename", "nochmod", "keepallfiles", "autorename",
        "tlsciphersuite",
    }
)  # fmt: skip
_LEFT: Final = {
    "prohibitdotfileswrite": "NAMES WITH A DOT IN FRONT CAN BE WRITTEN: no rule can name them everywhere",
    "prohibitdotfilesread": "NAMES WITH A DOT IN FRONT CAN BE READ: no rule can name them everywhere",
    "ldapconfigfile": "USERS IN A DIRECTORY ARE NOT CARRIED OVER: see `ldap`",
    "mysqlconfigfile": "USERS IN A DATABASE ARE NOT CARRIED OVER: see `accounts`",
    "pgsqlconfigfile": "USERS IN A DATABASE ARE NOT CARRIED OVER: see `accounts`",
    "extauth": "USERS OF A PROGRAM ARE NOT CARRIED OVER: see `http`",
    "altlog": "name a file in audit.xferlog, in a folder of the daemon's user",
    "createhomedir": "no home is made at a login: ftpsd user add --create-home",
    "trustedgid": "everybody is kept in the home here",
    "trustedip": "EVERY ADDRESS OF THE MACHINE IS SERVED: name one in `listeners`",
    "displaydotfiles": "hidden files are in every listing",
}


class Mover:
    """Collects what becomes of one Pure-FTPd."""

    def __init__(self, machine: OldMachine) -> None:
        self.machine = machine
        self.made = Migration("Pure-FTPd")
        self.values: dict[str, str] = {}
        self.places: dict[str, str] = {}
        self._told: set[str] = set()

    def read(self, path: Path) -> None:
        """Read options from a file, or from a folder with a file for each. Raises: MigrationError."""
        if not path.is_dir():
            for number, line in enumerate(self.machine.lines(path), 1):
                found = _OPTION.fullmatch(line.split("#")[0].strip())
                if found is not None:
                    self._say(found[1], found[2], f"{path.name}:{number}")
                elif line.strip() and not line.strip().startswith("#"):
                    raise MigrationError(f"{path}:{number}: this is no line of Pure-FTPd, which has NAME VALUE.")
            return
        for file in sorted(path.iterdir()):
            if re.fullmatch(r"[A-Za-z0-9]+", file.name):
                self._say(file.name, self.machine.text(file).strip(), file.name)

    def _say(self, name: str, value: str, place: str) -> None:
        self.values[name.lower()], self.places[name.lower()] = value.strip(), place

    def text(self, name: str) -> str:
        """Return the value of an option, empty where it is not set."""
        self._told.add(name)
        return self.values.get(name, "")

    def is_on(self, name: str) -> bool:
        """Return whether an option is yes."""
        return self.text(name).lower() in ("yes", "on", "1", "true")

    def carry(self, name: str, key: str, value: Any, but: str = "") -> None:
        """Set *key* where there is a value; else say that the option has none that fits."""
        place = self.places.get(name, "Pure-FTPd's default")
        if value is not None:
            self.made.carry(place, name, key, value, but)
        elif self.text(name):
            self.made.leave(place, name, "ftpsd has its own value", key)

    def move_settings(self) -> None:
        """Carry over all options."""
        place, _, port = self.text("bind").partition(",")
        listener = {"mode": "explicit", "address": numbers.address(place) or "::", "port": numbers.port(port) or 21}
        self.carry("bind", "listeners", [listener])
        self._protection()
        words = [*self.text("passiveportrange").split(), "", ""]
        wanted = numbers.ports(words[0], words[1])
        why = "" if wanted else "any port was taken; ftpsd has a range, which a firewall can open"
        self.carry("passiveportrange", "passive.ports", wanted or "3000-3050", why)
        self.carry("forcepassiveip", "passive.public_address", numbers.public(self.text("forcepassiveip")))
        self.carry("maxclientsnumber", "limits.connections", numbers.count(self.text("maxclientsnumber") or "50"))
        self.carry("maxclientsperip", "limits.connections_per_address", numbers.count(self.text("maxclientsperip")))
        users = self.text("peruserlimits").partition(":")[0]
        self.carry("peruserlimits", "limits.sessions_per_user", numbers.count(users))
        minutes = numbers.number(self.text("maxidletime") or "15")
        self.carry("maxidletime", "limits.idle_timeout", numbers.seconds(str(60 * (minutes or 0))))
        umask = self.text("umask").partition(":")[0] or "133"
        # Files never get an execute bit here, which the mask for files takes away.
        folders = self.text("umask").partition(":")[2] or "022"
        self.carry("umask", "uploads.umask", numbers.mode(folders) if numbers.mode(umask) else None)
        up, _, down = self.text("userbandwidth").partition(":")
        for each, key in ((up, "limits.upload_rate"), (down or up, "limits.download_rate")):
            self.carry("userbandwidth", key, rate(str(1024 * (numbers.number(each) or 0))))
        if not self.is_on("noanonymous"):
            why = "ftpsd HAS NO ANONYMOUS LOGINS: whoever came as anonymous or ftp stays out. Make a user for them"
            self.made.leave(self.places.get("noanonymous", "Pure-FTPd's default"), "NoAnonymous no", why)
        for name, place in self.places.items():
            if name in _OF_OURSELVES:
                self.made.carry(place, name)
            elif name not in self._told and (self.is_on(name) or self.text(name).lower() != "no"):
                self.made.leave(place, name[:40], _LEFT.get(name, "ftpsd has nothing in its place"))

    def _protection(self) -> None:
        require = {"1": "none", "2": "control", "3": "control-and-data"}.get(self.text("tls"), "none")
        why = (
            "passwords and files went in clear, and still may. Tell clients to use TLS, then take out `require: none`; "
            "a certificate is needed all the same"
        )
        self.carry("tls", "tls.require", require, why if require == "none" and self.text("tls") != "1" else "")
        pair = [numbers.file(each.strip('"')) for each in self.text("certfileandkey").split()]
        certificate = numbers.file(self.text("certfile")) or "/etc/ssl/private/pure-ftpd.pem"
        first, second = (pair[0], pair[1]) if len(pair) == 2 else (certificate, certificate)
        self.carry("certfile", "tls.certificate", first or certificate)
        self.made.settings["tls.private_key"] = second or certificate
        self.made.settings["tls.data_session_reuse"] = "offered"

    def rights(self) -> frozenset[Permission]:
        """Return what every user may do."""
        allow = set(ALL)
        if self.is_on("norename"):
            allow.discard(Permission.RENAME)
        if self.is_on("nochmod"):
            allow.discard(Permission.CHMOD)
        if self.is_on("keepallfiles"):
            # Files can be replaced all the same, and empty folders removed (pure-ftpd(8), -K).
            allow.discard(Permission.DELETE)
        if self.is_on("autorename"):
            allow.discard(Permission.OVERWRITE)
            place = self.places["autorename"]
            self.made.leave(place, "AutoRename", "a name that is taken is refused, not changed", "users")
        return frozenset(allow)

    def move_users(self, path: Path) -> None:
        """Carry over the virtual users in the text file at *path*. Raises: MigrationError."""
        allow = self.rights()
        for number, line in enumerate(self.machine.lines(path), 1):
            if not line.strip() or line.startswith("#"):
                continue
            parts = line.split(":")
            if len(parts) < 6:
                raise MigrationError(f"{path}:{number}: this is no line of pure-pw, which has 18 fields.")
            parts += [""] * (_FIELDS - len(parts))
            person = self.made.person(parts[0], f"{path.name}:{number}")
            if person is not None:
                person.set_hash(parts[1])
                person.set_home(parts[5].partition("/./")[0] or parts[5])
                if "/./" not in parts[5]:
                    person.remarks.append("changed: could leave the home for the rest of the machine")
                person.set_rules([("/**", allow)])
                self._bounds(person, parts)

    def _bounds(self, person: Person, parts: list[str]) -> None:
        for at, key in ((6, "upload_rate"), (7, "download_rate")):
            if rate(parts[at]) is not None:
                person.values[key] = rate(parts[at])
        if any(numbers.number(each) for each in parts[8:10]):
            person.remarks.append("left behind: ratios of uploads and downloads")
        if numbers.count(parts[10]):
            person.values["sessions"] = numbers.count(parts[10])
        files, size = numbers.number(parts[11]), numbers.number(parts[12])
        quota = {key: value for key, value in (("bytes", size), ("files", files)) if value}
        if quota:
            person.values["quota"] = quota
        if parts[13] or parts[14]:
            person.shut_out("could use some addresses of the server only, which ftpsd cannot say")
        allowed, strange = networks_of([each.strip() for each in parts[15].split(",") if each.strip()])
        refused, others = networks_of([each.strip() for each in parts[16].split(",") if each.strip()])
        if strange or others:
            person.shut_out("networks of the user are names of hosts, or no networks")
        elif refused and allowed:
            person.shut_out("has networks that are allowed and others that are refused: write networks")
        elif allowed or refused:
            person.values["networks"] = allowed or without(refused[:100])
            if len(refused) > 100:
                person.shut_out("has too many networks that are refused")
        if parts[17].strip():
            self._hours(person, parts[17].strip())

    def _hours(self, person: Person, said: str) -> None:
        found = _HOURS.fullmatch(said)
        start, end = (f"{part[:-2]:0>2}:{part[-2:]:0>2}" for part in (found.groups() if found else ("", "")))
        is_time = start < "24:00" and end <= "24:00" and start[3:] < "60" and end[3:] < "60" and start != end
        if found is None or not is_time:
            person.shut_out("the hours of the user cannot be read")
            return
        zone = self._zone()
        person.values["hours"] = [{"from": start, "to": end, "zone": zone}]
        person.remarks.append(f"changed: hours were those of the machine's clock, and are those of {zone}")

    def _zone(self) -> str:
        try:
            name = self.machine.text(self.machine.find("/etc/timezone")).strip()
            if _ZONE.fullmatch(name):
                return ZoneInfo(name).key
        except (MigrationError, OSError, ValueError, KeyError):
            pass
        return "UTC"


def rate(text: str) -> int | None:
    """Return bytes per second that are more than none."""
    found = numbers.number(text)
    return found if found is not None and 1 <= found < _MOST_RATE else None


def migrate(machine: OldMachine, path: Path, passwd: Path | None, shadow: Path | None) -> Migration:
    """
    Read pure-ftpd.conf, the folder of options or pureftpd.passwd at *path*, and users of the machine in *passwd*.

    Raises: MigrationError.
    """
    mover = Mover(machine)
    if path.suffix == ".pdb":
        raise MigrationError(f"{path}: is made of a text by `pure-pw mkdb`; name that text (pureftpd.passwd).")
    is_people = path.is_file() and path.suffix != ".conf" and _is_passwd(machine.text(path))
    users: Path | None = path
    if not is_people:
        mover.read(path)
        users = _users_of(mover)
    mover.move_settings()
    if users is not None:
        mover.move_users(users)
    if passwd is not None:
        _of_machine(mover, passwd, shadow)
    elif mover.is_on("unixauthentication") or mover.is_on("pamauthentication"):
        why = "give --passwd /etc/passwd --shadow /etc/shadow to have users of the machine in users.yaml, too"
        mover.made.leave("Pure-FTPd", "users and passwords of the machine", why, "users")
    return mover.made


def _is_passwd(text: str) -> bool:
    return any(line.count(":") >= 6 for line in text.split("\n", 1)[:1])


def _users_of(mover: Mover) -> Path | None:
    database = mover.text("puredb")
    if not database:
        return None
    users = mover.machine.find(database).with_suffix(".passwd")
    if users.is_file():
        return users
    why = f"the text of the virtual users is not beside it ({users.name}): name that text as PATH"
    mover.made.leave(mover.places["puredb"], "PureDB", why, "users")
    return None


def _of_machine(mover: Mover, passwd: Path, shadow: Path | None) -> None:
    least, allow = numbers.number(mover.text("minuid")) or 100, mover.rights()
    for account in read_accounts(mover.machine, passwd, shadow):
        if account.uid is None or not max(1, least) <= account.uid < 65534:
            continue
        person = mover.made.person(account.name, account.place)
        if person is not None:
            person.set_hash(account.stored)
            person.set_home(account.home.partition("/./")[0] or account.home)
            person.set_rules([("/**", allow)])
