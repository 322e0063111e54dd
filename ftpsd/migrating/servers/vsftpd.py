"""vsftpd: vsftpd.conf, its user lists, its files for single users; the users are those of passwd and shadow files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ftpsd.migrating import numbers
from ftpsd.migrating.account_lines import Account, read_accounts, read_names
from ftpsd.migrating.migration import Migration, Person, shown
from ftpsd.migrating.old_machine import MAX_FILES, MigrationError, OldMachine
from ftpsd.migrating.servers.vsftpd_words import COMMANDS, DEFAULTS, LEFT, OF_OURSELVES
from ftpsd.values.permission import ALL, Permission

# An assignment as vsftpd reads it: no space around the sign.
_SETTING: Final = re.compile(r"([a-z0-9_]+)=(.*)", re.IGNORECASE)
_FIRST_OF_PEOPLE: Final = 1000
_NOBODY: Final = 65534


@dataclass(frozen=True, slots=True)
class Said:
    """The settings of vsftpd.conf, those of a user's own file before them."""

    values: dict[str, str]
    places: dict[str, str]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str) -> str:
        """Return the value of *name*, or the default."""
        return self.values.get(name, DEFAULTS.get(name, ""))

    def is_on(self, name: str) -> bool:
        """Return whether *name* is YES."""
        return self.text(name).upper() in ("YES", "TRUE", "1")

    def place(self, name: str) -> str:
        """Return where *name* is said."""
        return self.places.get(name, "vsftpd's default")

    def above(self, other: Said) -> Said:
        """Return these settings with those of *other* where these say nothing."""
        return Said({**other.values, **self.values}, {**other.places, **self.places})


def read_settings(machine: OldMachine, path: Path) -> Said:
    """Return the settings of one file. Raises: MigrationError."""
    values, places = {}, {}
    for at, line in enumerate(machine.lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _SETTING.fullmatch(line.rstrip())
        if found is None:
            raise MigrationError(f"{path}:{at}: this is no line of vsftpd, which has NAME=VALUE.")
        name = found[1].lower()
        values[name], places[name] = found[2].strip(), f"{path.name}:{at}"
    return Said(values, places)


def migrate(machine: OldMachine, path: Path, passwd: Path | None, shadow: Path | None) -> Migration:
    """Read vsftpd.conf at *path*, and the users of *passwd* with the hashes of *shadow*. Raises: MigrationError."""
    said = read_settings(machine, path)
    made = Migration("vsftpd")
    _listen(made, said)
    _protect(made, said)
    _ports(made, said)
    _bounds(made, said)
    _anonymous(made, said)
    _people(made, said, machine, passwd, shadow)
    _rest(made, said)
    return made


def _listen(made: Migration, said: Said) -> None:
    is_implicit = said.is_on("implicit_ssl") and said.is_on("ssl_enable")
    port = numbers.port(said.text("listen_port")) or 21
    place = "::"
    for name in ("listen_address", "listen_address6"):
        found = numbers.address(said.text(name)) if name in said else None
        if found is not None:
            place = found
        elif name in said:
            made.leave(said.place(name), name, "is no address of a machine", "listeners")
    if place == "::" and said.is_on("listen") and not said.is_on("listen_ipv6"):
        place = "0.0.0.0"
    mode = "implicit" if is_implicit else "explicit"
    made.settings["listeners"] = [{"mode": mode, "address": place, "port": port}]
    for name in ("listen_port", "listen_address", "listen_address6", "implicit_ssl", "listen", "listen_ipv6"):
        if name in said and (not name.startswith("listen_address") or numbers.address(said.text(name))):
            made.carry(said.place(name), name)


def _protect(made: Migration, said: Said) -> None:
    place = said.place("ssl_enable")
    if not said.is_on("ssl_enable"):
        made.carry(
            place,
            "ssl_enable=NO",
            "tls.require",
            "none",
            "passwords and files went in clear, and still may. Tell clients to use TLS, then take out `require: none`; "
            "a certificate is needed all the same",
        )
    else:
        login, data = said.is_on("force_local_logins_ssl"), said.is_on("force_local_data_ssl")
        require = "control-and-data" if login and data else "control" if login else "none"
        made.carry(place, "ssl_enable", "tls.require", require)
        for name in ("force_local_logins_ssl", "force_local_data_ssl"):
            if name in said:
                but = "" if login or not data else "ftpsd cannot require TLS of data connections alone"
                made.carry(said.place(name), name, but=but if name == "force_local_data_ssl" else "")
    certificate = next((each for each in ("rsa_cert_file", "dsa_cert_file") if numbers.file(said.text(each))), "")
    if certificate:
        made.carry(said.place(certificate), certificate, "tls.certificate", said.text(certificate))
        key = certificate.replace("cert", "private_key")
        if numbers.file(said.text(key)):
            made.carry(said.place(key), key, "tls.private_key", said.text(key))
        else:
            made.settings["tls.private_key"] = said.text(certificate)
    if said.is_on("ssl_enable") and said.is_on("require_cert"):
        made.settings["tls.client_certificates"] = {
            "request": "required",
            "authorities": numbers.file(said.text("ca_certs_file")) or "tls/clients.pem",
        }
        made.carry(said.place("require_cert"), "require_cert", "", but="see tls.client_certificates")
    if said.is_on("ssl_enable"):
        is_required = said.is_on("require_ssl_reuse")
        made.carry(
            said.place("require_ssl_reuse"),
            "require_ssl_reuse",
            "tls.data_session_reuse",
            "required" if is_required else "offered",
        )
    for name in ("ssl_tlsv1", "ssl_tlsv1_1", "ssl_sslv2", "ssl_sslv3"):
        if name in said and said.is_on(name) and said.is_on("ssl_enable"):
            made.leave(said.place(name), name, "TLS begins with 1.2 here", "tls")
        elif name in said:
            made.carry(said.place(name), name)


def _ports(made: Migration, said: Said) -> None:
    low, high = said.text("pasv_min_port"), said.text("pasv_max_port")
    wanted = numbers.ports(low, high)
    if wanted is not None:
        made.carry(said.place("pasv_min_port"), "pasv_min_port, pasv_max_port", "passive.ports", wanted)
    else:
        why = "any port was taken; ftpsd has a range, which a firewall can open"
        made.carry(said.place("pasv_min_port"), "pasv_min_port", "passive.ports", "3000-3050", why)
    if "pasv_address" in said:
        told = numbers.public(said.text("pasv_address"))
        if told is None:
            made.leave(said.place("pasv_address"), "pasv_address", "is no IPv4 address or DNS name", "passive")
        else:
            made.carry(said.place("pasv_address"), "pasv_address", "passive.public_address", told)
    if not said.is_on("pasv_enable"):
        made.leave(said.place("pasv_enable"), "pasv_enable=NO", "passive mode cannot be turned off", "passive")
    for name in ("pasv_promiscuous", "port_promiscuous"):
        if said.is_on(name):
            why = "data connections are only ever with the client's own address, so there is no FXP"
            made.leave(said.place(name), name, why, "active")
    made.carry(said.place("port_enable"), "port_enable", "active.enabled", said.is_on("port_enable"))
    source = (numbers.port(said.text("ftp_data_port")) or 20) if said.is_on("connect_from_port_20") else 0
    made.carry(said.place("connect_from_port_20"), "connect_from_port_20", "active.source_port", source)


_BOUNDS: Final = (
    ("max_clients", "limits.connections"),
    ("max_per_ip", "limits.connections_per_address"),
    ("max_login_fails", "limits.failed_logins"),
)
_TIMES: Final = (
    ("idle_session_timeout", "limits.idle_timeout"),
    ("data_connection_timeout", "limits.stall_timeout"),
    ("accept_timeout", "limits.data_connect_timeout"),
)


def _bounds(made: Migration, said: Said) -> None:
    for name, key in _BOUNDS:
        found = numbers.count(said.text(name))
        if found is not None:
            made.carry(said.place(name), name, key, found)
        else:
            made.leave(said.place(name), name, "there was no limit; ftpsd has its default", "limits")
    for name, key in _TIMES:
        time = numbers.seconds(said.text(name))
        if time is not None:
            made.carry(said.place(name), name, key, time)
        else:
            made.leave(said.place(name), name, "ftpsd has its default", "limits")
    rate = numbers.number(said.text("local_max_rate"))
    if rate:
        made.settings["limits.upload_rate"] = rate
        made.carry(said.place("local_max_rate"), "local_max_rate", "limits.download_rate", rate)
    umask = numbers.mode(said.text("local_umask"))
    if umask is not None:
        made.carry(said.place("local_umask"), "local_umask", "uploads.umask", umask)
    banner = numbers.line(said.text("ftpd_banner"))
    if banner is not None:
        made.carry(said.place("ftpd_banner"), "ftpd_banner", "banner", banner)


def _anonymous(made: Migration, said: Said) -> None:
    if said.is_on("anonymous_enable"):
        why = "ftpsd HAS NO ANONYMOUS LOGINS: whoever came as anonymous or ftp stays out. Make a user for them"
        made.leave(said.place("anonymous_enable"), "anonymous_enable=YES", why)
    elif "anonymous_enable" not in said:
        why = "not set. Debian's vsftpd then has no anonymous logins, others have; ftpsd HAS NO ANONYMOUS LOGINS"
        made.leave("vsftpd's default", "anonymous_enable", why)
    else:
        made.carry(said.place("anonymous_enable"), "anonymous_enable=NO")


def rights(said: Said) -> frozenset[Permission]:
    """Return what a user may do in the whole home."""
    allow = set(ALL)
    if not said.is_on("write_enable"):
        allow &= {Permission.LIST, Permission.READ}
    if not said.is_on("dirlist_enable"):
        allow.discard(Permission.LIST)
    if not said.is_on("download_enable"):
        allow.discard(Permission.READ)
    if not said.is_on("chmod_enable"):
        allow.discard(Permission.CHMOD)
    if not said.is_on("mdtm_write"):
        allow.discard(Permission.SET_TIME)
    if "cmds_allowed" in said:
        words = _words(said.text("cmds_allowed"))
        allow &= {each for word, some in COMMANDS.items() if word in words for each in some}
    denied = _words(said.text("cmds_denied"))
    allow -= {each for word, some in COMMANDS.items() if word in denied for each in some}
    return frozenset(allow)


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip().upper() for word in text.split(","))


def _people(made: Migration, said: Said, machine: OldMachine, passwd: Path | None, shadow: Path | None) -> None:
    if not said.is_on("local_enable") and not said.is_on("guest_enable"):
        made.leave(said.place("local_enable"), "local_enable=NO", "nobody but anonymous could log in", "users")
        return
    own = _own_files(made, said, machine)
    accounts = [] if passwd is None else read_accounts(machine, passwd, shadow)
    listed = _listed(made, said, machine)
    shut = _shut(machine) if passwd is not None else frozenset()
    if accounts and not said.is_on("guest_enable"):
        why = "vsftpd worked as each user; ftpsd works as its own, which needs the homes and what is in them"
        made.leave(said.place("local_enable"), "the users' own rights on the disk", why, "users")
    for account in accounts:
        if account.uid is not None and not _FIRST_OF_PEOPLE <= account.uid < _NOBODY and account.name not in own:
            continue
        person = made.person(account.name, account.place)
        if person is not None:
            person.set_hash(account.stored)
            _describe(person, account, own.get(account.name, said), said)
            if listed is not None and (account.name in listed) is said.is_on("userlist_deny"):
                person.shut_out(f"userlist_file of {said.place('userlist_enable')} keeps this user out")
            elif account.name in shut:
                person.shut_out("/etc/ftpusers keeps this user out")
    for name in sorted(own.keys() - {account.name for account in accounts}):
        person = made.person(name, said.place("user_config_dir"))
        if person is not None:
            person.set_hash("")
            _describe(person, Account("", name, ""), own[name], said)
    if passwd is None:
        why = (
            "vsftpd leaves passwords to PAM, so they are not in its files. Give --passwd /etc/passwd --shadow "
            "/etc/shadow, or --passwd with a file of NAME:HASH lines, to have these users in users.yaml; or let ftpsd "
            "ask PAM too (`accounts: [file, pam]`)"
        )
        made.leave(said.place("pam_service_name"), "users and passwords", why, "users")
    if said.is_on("guest_enable") and "user_config_dir" not in said and passwd is None:
        made.leave(said.place("guest_enable"), "guest_enable", "virtual users are in a database of PAM", "users")


def _shut(machine: OldMachine) -> frozenset[str]:
    """Return the names that PAM keeps out, as the service file of Debian and others says."""
    try:
        return read_names(machine, machine.find("/etc/ftpusers"))
    except MigrationError:
        return frozenset()


def _own_files(made: Migration, said: Said, machine: OldMachine) -> dict[str, Said]:
    """Return the settings of each user who has a file in user_config_dir."""
    if not said.text("user_config_dir"):
        return {}
    folder = machine.find(said.text("user_config_dir"))
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    except (OSError, ValueError):
        made.leave(said.place("user_config_dir"), "user_config_dir", "cannot be read", "users")
        return {}
    if len(names) > MAX_FILES:
        raise MigrationError(f"{folder}: has more than {MAX_FILES} files.")
    return {name: read_settings(machine, folder / name).above(said) for name in names}


def _listed(made: Migration, said: Said, machine: OldMachine) -> frozenset[str] | None:
    if not said.is_on("userlist_enable"):
        return None
    try:
        return read_names(machine, machine.find(said.text("userlist_file")))
    except MigrationError:
        why = "the list cannot be read, so nobody is let in"
        made.leave(said.place("userlist_enable"), "userlist_file", why, "users")
        # Nobody is on a list of those who may, everybody on one of those who may not.
        return frozenset() if not said.is_on("userlist_deny") else _Everybody()


class _Everybody(frozenset[str]):
    """A list on which every name is."""

    def __contains__(self, name: object) -> bool:
        return True


def _describe(person: Person, account: Account, said: Said, whole: Said) -> None:
    jail, _, below = account.home.partition("/./")
    home = (jail or "/") if below and said.is_on("passwd_chroot_enable") else account.home
    if said.text("local_root"):
        token = said.text("user_sub_token")
        home = said.text("local_root")
        home = home.replace(token, person.name) if token else home
    person.set_home(home)
    allow = rights(said)
    person.set_rules([("/**", allow)])
    if not said.is_on("chroot_local_user") and not said.is_on("guest_enable"):
        person.remarks.append("changed: could leave the home for the rest of the machine, and cannot any more")
    if not said.is_on("local_enable") and not said.is_on("guest_enable"):
        person.shut_out("local_enable=NO")
    rate = numbers.number(said.text("local_max_rate"))
    if rate and said.text("local_max_rate") != whole.text("local_max_rate"):
        person.values["download_rate"] = person.values["upload_rate"] = rate
    for name in _unknown(said.values.keys() - whole.values.keys()):
        if name not in ("local_root", "write_enable", "cmds_allowed", "cmds_denied"):
            person.remarks.append(f"left behind: {shown(name)} of the user's own file")


def _unknown(names: Iterable[str]) -> list[str]:
    known = OF_OURSELVES | {"local_max_rate", "dirlist_enable", "download_enable", "chmod_enable", "mdtm_write"}
    return sorted(name for name in names if name not in known)


# Settings that the functions above have told of, or that are used with others.
_DONE: Final = frozenset(
    {
        *(name for name, _ in (*_BOUNDS, *_TIMES)), "listen", "listen_ipv6", "listen_port", "listen_address",
        "listen_address6", "implicit_ssl", "ssl_enable", "force_local_logins_ssl", "force_local_data_ssl",
        "rsa_cert_file", "rsa_private_key_file", "dsa_cert_file", "dsa_private_key_file", "require_cert",
        "ca_certs_file", "require_ssl_reuse", "ssl_tlsv1", "ssl_tlsv1_1", "ssl_sslv2", "ssl_sslv3", "pasv_min_port",
        "pasv_max_port", "pasv_address", "pasv_enable", "pasv_promiscuous", "port_promiscuous", "port_enable",
        "connect_from_port_20", "ftp_data_port", "local_max_rate", "local_umask", "ftpd_banner", "anonymous_enable",
    }
)  # fmt: skip


def _rest(made: Migration, said: Said) -> None:
    for name, place in said.places.items():
        if name in _DONE:
            continue
        if name in LEFT and (said.is_on(name) or not LEFT[name][0]):
            made.leave(place, name, LEFT[name][1], LEFT[name][2])
        elif name in OF_OURSELVES or name in LEFT:
            made.carry(place, name)
        elif name.startswith("anon_") or name in ("chown_uploads", "chown_username", "no_anon_password"):
            made.leave(place, name, "is about anonymous users")
        else:
            made.leave(place, name, "ftpsd has nothing in its place")
