"""
A real slapd with a small directory, as a process of ours in a folder of the test.

Passwords are "<name>'s". alice and bob upload, carol is in a group without a role, dora in the disabled one, and twin
is there twice. Everybody is below ou=people,dc=example,dc=com.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from tests.e2e.ports import claim_block
from tests.sources.authority import Identity, issue
from tests.tools import missing, require_tool

SUFFIX: Final = "dc=example,dc=com"
PEOPLE: Final = f"ou=people,{SUFFIX}"
GROUPS: Final = f"ou=groups,{SUFFIX}"
SERVICE: Final = f"cn=ftpsd,{SUFFIX}"
SERVICE_PASSWORD: Final = "the service's"
UPLOADERS: Final = f"cn=uploaders,{GROUPS}"
DISABLED: Final = f"cn=disabled,{GROUPS}"
_SCHEMAS: Final = Path("/etc/ldap/schema")
# Debian's slapd is confined to its own directories by AppArmor where that is on.
_PEOPLE: Final = {
    "alice": ("uploaders",),
    "bob": ("uploaders",),
    "carol": ("visitors",),
    "dora": ("uploaders", "disabled"),
    "jürgen": ("uploaders",),
}


class Slapd:
    """A running slapd: *port* does StartTLS, *tls_port* is LDAPS."""

    def __init__(self, folder: Path) -> None:
        program = require_tool("slapd")
        if not _SCHEMAS.is_dir():
            missing(f"{_SCHEMAS} is not there")
        folder.mkdir(parents=True, exist_ok=True)
        self.identity: Identity = issue(folder / "tls", "localhost")
        self._block = claim_block()
        self.port, self.tls_port = self._block.explicit, self._block.implicit
        configuration = folder / "slapd.conf"
        configuration.write_text(self._configuration(folder))
        (folder / "data").mkdir()
        (folder / "people.ldif").write_text(_ldif())
        loaded = subprocess.run(
            [require_tool("slapadd"), "-f", configuration, "-l", folder / "people.ldif"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert loaded.returncode == 0, loaded.stderr
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        self._log = (folder / "log").open("w")
        self._process = subprocess.Popen(
            [program, "-f", configuration, "-h", urls, "-d", "0"], stdout=self._log, stderr=self._log
        )
        self._wait()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)
        self._log.close()
        self._block.release()

    def _wait(self) -> None:
        import socket

        end = monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.tls_port), 1).close()
            except OSError:
                assert self._process.poll() is None, Path(self._log.name).read_text()
                assert monotonic() < end, "slapd does not listen"
                sleep(0.02)
            else:
                return

    def _configuration(self, folder: Path) -> str:
        schemas = "\n".join(f"include {_SCHEMAS}/{name}.schema" for name in ("core", "cosine", "inetorgperson"))
        return f"""{schemas}
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {folder}/pid
TLSCACertificateFile {self.identity.authority}
TLSCertificateFile {self.identity.certificate}
TLSCertificateKeyFile {self.identity.private_key}
database mdb
maxsize 10485760
suffix "{SUFFIX}"
directory {folder}/data
rootdn "cn=admin,{SUFFIX}"
rootpw secret
overlay memberof
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{SERVICE}" read by * none
"""


def _ldif() -> str:
    entries = [
        f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n",
        f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n",
        f"dn: ou=others,{SUFFIX}\nobjectClass: organizationalUnit\nou: others\n",
        f"dn: {GROUPS}\nobjectClass: organizationalUnit\nou: groups\n",
        f"dn: {SERVICE}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: ftpsd\n"
        f"userPassword: {SERVICE_PASSWORD}\n",
        # Whatever is followed leads to a server that there is not.
        f"dn: cn=elsewhere,{PEOPLE}\nobjectClass: referral\nobjectClass: extensibleObject\ncn: elsewhere\n"
        f"ref: ldap://127.0.0.1:9/{PEOPLE}\n",
    ]
    for name, groups in _PEOPLE.items():
        entries.append(_person(name, f"uid={name},{PEOPLE}", groups))
    entries.append(_person("twin", f"cn=one,{PEOPLE}", ("uploaders",)))
    entries.append(_person("twin", f"cn=two,{PEOPLE}", ("uploaders",)))
    for group in ("uploaders", "visitors", "disabled"):
        members = [f"uid={name},{PEOPLE}" for name, groups in _PEOPLE.items() if group in groups]
        lines = "".join(f"member: {member}\n" for member in members)
        entries.append(f"dn: cn={group},{GROUPS}\nobjectClass: groupOfNames\ncn: {group}\n{lines}")
    return "\n".join(entries)


def _person(name: str, dn: str, groups: tuple[str, ...]) -> str:
    member = "".join(f"memberOf: cn={group},{GROUPS}\n" for group in groups)
    cn = dn.partition("=")[2].partition(",")[0]
    return (
        f"dn: {dn}\nobjectClass: inetOrgPerson\ncn: {cn}\nsn: {name}\nuid: {name}\nuserPassword: {name}'s\n"
        f"employeeType: /srv/ftpsd/{name}\nemployeeNumber: 1000\n{member}"
    )
