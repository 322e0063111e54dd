"""
The servers and how each is set up: the same user, files, certificate, TLS 1.3 and session reuse for all.

Each set-up uses what that server's own manual recommends for speed; `Server.about` says what a reader of the table
should know. A set-up is a function from the ground and the programs to a `Launch`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import HOST
from bench.ground import USER, Ground
from bench.packages import Missing, Programs

# Below Linux's range for outgoing connections (32768 and up), whose ports would be in the way now and then. With 300 of
# them ProFTPD answered "425 EPSV: Address already in use" under eight clients; ports in TIME_WAIT are the likely cause.
FIRST_PASSIVE_PORT = 20000
PASSIVE_PORTS = 1500
# More than any case opens.
MANY = 20000
REPOSITORY = str(Path(__file__).resolve().parent.parent)


@dataclass(frozen=True)
class Ports:
    """The ports of one server: *control*, another free one, and a range of passive ports."""

    control: int
    other: int
    first: int

    @property
    def last(self) -> int:
        return self.first + PASSIVE_PORTS - 1


@dataclass(frozen=True)
class Launch:
    """How to start a server: *argv* stays in the foreground; *as_system* gives it users and PAM files of our own."""

    argv: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    as_system: bool = False


SetUp = Callable[[Ground, Programs, Ports], Launch]


@dataclass(frozen=True)
class Server:
    """One server; *is_peer* when ftpsd is held against it in every case, not only shown beside."""

    name: str
    set_up: SetUp
    about: str
    protocol: str = "ftps"

    @property
    def is_peer(self) -> bool:
        return self.protocol == "ftps" and not self.name.startswith("ftpsd")


def ftpsd(
    ground: Ground,
    _: Programs,
    ports: Ports,
    *,
    name: str = "ftpsd",
    more: str = "",
    users: str | None = None,
    sections: str = "",
) -> Launch:
    """
    Everything as it comes, also the audit log and the number of passive ports, whose listeners stay open.

    `durable` is off because no peer waits for the disk; what it costs, durability.py measures. Cases of ftpsd's own add
    *more* limits, have other *users* and further *sections*, and keep their files under another *name*.
    """
    return serve_ftpsd(ground, ports, name=name, more=more, users=users, sections=sections)


def ftpsd_of_two(ground: Ground, _: Programs, ports: Ports) -> Launch:
    """The same, in two processes."""
    return serve_ftpsd(ground, ports, name="ftpsd-2", processes=2)


def serve_ftpsd(
    ground: Ground,
    ports: Ports,
    *,
    name: str = "ftpsd",
    more: str = "",
    users: str | None = None,
    sections: str = "",
    is_durable: bool = False,
    processes: int = 1,
) -> Launch:
    """Return how ftpsd is started, with `uploads.durable` as *is_durable* says, in so many *processes*."""
    ours = f"users:\n  {USER}: {{password: '{ground.password_hash}', home: {ground.home}}}\n"
    ground.file(f"{name}/users.yaml", users or ours, 0o600)
    config = ground.file(
        f"{name}/{'durable' if is_durable else 'ftpsd'}.yaml",
        f"""\
listeners: [{{mode: explicit, address: {HOST}, port: {ports.control}}}]
tls: {{certificate: {ground.certificate}, private_key: {ground.private_key}}}
passive: {{ports: {ports.first}-{ports.first + 50}}}
active: {{source_port: 0}}
limits: {{connections: {MANY}, connections_per_address: {MANY}, sessions_per_user: {MANY}{more}}}
uploads: {{durable: {str(is_durable).lower()}}}
audit: {{log: audit.jsonl}}
metrics: {{address: {HOST}, port: {ports.other}}}
penalties: {{exempt: [127.0.0.0/8, "::1"]}}
drain_timeout: 0s
processes: {processes}
{sections}""",
    )
    return Launch([sys.executable, "-m", "ftpsd", "serve", "--config", str(config)], {"PYTHONPATH": REPOSITORY})


def vsftpd(ground: Ground, programs: Programs, ports: Ports) -> Launch:
    """
    Logs off; a network namespace for every connection (isolate_network) off.

    Its manual does not name isolate_network, so no operator has to find it: the setting is in vsftpd's favour.
    """
    program = programs.find("vsftpd")
    empty = ground.directory / "vsftpd" / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    config = ground.file(
        "vsftpd/vsftpd.conf",
        f"""\
listen=YES
listen_address={HOST}
listen_port={ports.control}
background=NO
max_clients=0
max_per_ip=0
anonymous_enable=NO
local_enable=YES
write_enable=YES
local_umask=022
chroot_local_user=YES
allow_writeable_chroot=YES
secure_chroot_dir={empty}
pam_service_name=ftpsd-bench
isolate_network=NO
xferlog_enable=NO
dirmessage_enable=NO
tcp_wrappers=NO
connect_from_port_20=NO
pasv_min_port={ports.first}
pasv_max_port={ports.last}
ssl_enable=YES
ssl_tlsv1=YES
ssl_sslv2=NO
ssl_sslv3=NO
ssl_request_cert=NO
require_ssl_reuse=YES
force_local_data_ssl=YES
force_local_logins_ssl=YES
ssl_ciphers=HIGH
rsa_cert_file={ground.certificate}
rsa_private_key_file={ground.private_key}
""",
    )
    return Launch([str(program), str(config)], as_system=True)


def proftpd(ground: Ground, programs: Programs, ports: Ports) -> Launch:
    """
    Logs, reverse DNS, login delay and sorting of lists off.

    Without TLSCACertificateFile a login took 24 ms of CPU instead of 5 (the system's authorities are read each time).
    mod_tls_shmcache is left out: with it 1.3.8 left a stack trace after 343 data connections of TLS 1.3, and sessions
    are resumed without it too.
    """
    program = programs.find("proftpd")
    modules = programs.file("/usr/lib/proftpd")
    if not (modules / "mod_tls.so").exists():
        raise Missing("mod_tls (proftpd-mod-crypto) is not installed")
    users = ground.file("proftpd/users", ground.passwd_line.replace(":x:", f":{ground.password_hash}:", 1), 0o600)
    state = users.parent
    config = ground.file(
        "proftpd/proftpd.conf",
        f"""\
ServerType standalone
ServerName bench
UseIPv6 off
DefaultAddress {HOST}
SocketBindTight on
Port {ports.control}
User {USER}
Group nogroup
ModulePath {modules}
LoadModule mod_tls.c
MaxInstances none
UseReverseDNS off
DelayEngine off
ControlsEngine off
WtmpLog off
TransferLog none
SystemLog none
PidFile {state}/pid
ScoreboardFile {state}/scoreboard
AuthUserFile {users}
AuthOrder mod_auth_file.c
RequireValidShell off
DefaultRoot ~
AllowOverwrite on
ListOptions "-U"
PassivePorts {ports.first} {ports.last}
TLSEngine on
TLSRequired on
TLSProtocol TLSv1.2 TLSv1.3
TLSVerifyClient off
TLSRenegotiate none
TLSECCertificateFile {ground.certificate}
TLSECCertificateKeyFile {ground.private_key}
TLSCACertificateFile {ground.authority}
""",
    )
    environment = {"LD_LIBRARY_PATH": programs.library_path}
    return Launch([str(program), "-n", "-c", str(config)], environment, as_system=True)


def pure_ftpd(ground: Ground, programs: Programs, ports: Ports) -> Launch:
    """Name look-ups and logs off, lists unbounded (-L); system users (crypt(3), no PAM)."""
    program = programs.find("pure-ftpd")
    # Without -p: given a range of 300 ports, it refused more than 150 users ("421 150 users (the maximum)").
    # -E no anonymous, -A everybody in a chroot, -H no DNS, -Y 3 TLS for both channels, -u the smallest uid.
    argv = [str(program), "-S", f"{HOST},{ports.control}", "-c", str(MANY)]
    argv += ["-C", str(MANY), "-E", "-A", "-H", "-Y", "3", "-2", f"{ground.certificate},{ground.private_key}"]
    argv += ["-l", "unix", "-u", "1000", "-f", "none", "-L", "1000000:100", "-I", "60"]
    argv += ["-g", f"{ground.directory}/pure-ftpd.pid"]
    return Launch(argv, as_system=True)


def pyftpdlib(ground: Ground, _: Programs, ports: Ports) -> Launch:
    """Its asynchronous server (epoll, one process), logs off; passwords are compared in clear."""
    if importlib.util.find_spec("pyftpdlib") is None:
        raise Missing("pip install --require-hashes -r requirements/bench.txt")
    both = ground.file("pyftpdlib/both.pem", ground.certificate.read_text() + ground.private_key.read_text(), 0o600)
    argv = [sys.executable, "-m", "bench.pyftpdlib_server", HOST, str(ports.control)]
    argv += [str(ports.first), str(ports.last), str(both), USER, ground.password, str(ground.home)]
    return Launch(argv, {"PYTHONPATH": REPOSITORY})


def nginx(ground: Ground, programs: Programs, ports: Ports) -> Launch:
    """HTTPS, bulk downloads only."""
    program = programs.find("nginx")
    config = ground.file(
        "nginx/nginx.conf",
        f"""\
daemon off;
user root;
worker_processes auto;
pid {ground.directory}/nginx/pid;
error_log /dev/null;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path {ground.directory}/nginx/a;
  proxy_temp_path {ground.directory}/nginx/b;
  fastcgi_temp_path {ground.directory}/nginx/c;
  uwsgi_temp_path {ground.directory}/nginx/d;
  scgi_temp_path {ground.directory}/nginx/e;
  server {{
    listen {HOST}:{ports.control} ssl;
    root {ground.home};
    ssl_protocols TLSv1.3;
    ssl_certificate {ground.certificate};
    ssl_certificate_key {ground.private_key};
    ssl_session_cache shared:bench:1m;
    ssl_buffer_size 16k;
  }}
}}
""",
    )
    argv = [str(program), "-c", str(config), "-e", "/dev/null", "-p", str(config.parent)]
    return Launch(argv, {"LD_LIBRARY_PATH": programs.library_path})


def sshd(ground: Ground, programs: Programs, ports: Ports) -> Launch:
    """SFTP with aes256-gcm, bulk only; client is OpenSSH's sftp."""
    program = programs.find("sshd")
    if not shutil.which("sftp") or not shutil.which("ssh-keygen"):
        raise Missing("no OpenSSH client")
    from bench.tools import make_ssh_keys

    host_key, _, authorized = make_ssh_keys(ground)
    config = ground.file(
        "sshd/sshd_config",
        f"""\
ListenAddress {HOST}:{ports.control}
HostKey {host_key}
AuthorizedKeysFile {authorized}
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
LogLevel QUIET
UseDNS no
MaxStartups 100:30:200
Ciphers aes256-gcm@openssh.com
Subsystem sftp internal-sftp
""",
    )
    environment = {"LD_LIBRARY_PATH": programs.library_path}
    return Launch([str(program), "-D", "-f", str(config)], environment, as_system=True)


SERVERS: tuple[Server, ...] = (
    Server("ftpsd", ftpsd, "audit log on; logins: first one verified by crypt(3), then remembered for 60 s"),
    Server("ftpsd-2", ftpsd_of_two, "the same with processes: 2; shown beside, no peer"),
    Server("vsftpd", vsftpd, "logs off; logins: PAM (pam_unix)"),
    Server("proftpd", proftpd, "logs off; logins: crypt(3) from a file"),
    Server("pure-ftpd", pure_ftpd, "logs off; logins: crypt(3) from /etc/shadow"),
    Server("pyftpdlib", pyftpdlib, "logs off, one process; logins: compared in clear"),
    Server("nginx", nginx, "HTTPS, for comparison only", "https"),
    Server("sshd", sshd, "SFTP aes256-gcm, for comparison only", "sftp"),
)

# The files that a server sees in place of the system's, in its own mount namespace.
PAM = "auth required pam_unix.so\naccount required pam_unix.so\n"
MOUNTS = """\
set -e
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/shadow" /etc/shadow
mount --bind "$1/pam.d" /etc/pam.d
mount -t tmpfs none /run
mkdir -m 755 /run/sshd
shift
exec "$@"
"""


def as_system(ground: Ground, argv: list[str]) -> list[str]:
    """
    Return the command that runs *argv* with the user of the ground as the system's.

    Raises:
        Missing: only root can do this.
    """
    if os.geteuid() != 0 or not shutil.which("unshare"):
        raise Missing("needs root and unshare(1)")
    sshd_line = "sshd:x:64998:65534::/run/sshd:/usr/sbin/nologin\n"
    others = [line for line in Path("/etc/passwd").read_text().splitlines(True) if not line.startswith("sshd:")]
    ground.file("system/passwd", "".join(others) + ground.passwd_line + sshd_line)
    ground.file("system/shadow", f"{USER}:{ground.password_hash}:19000::::::\n", 0o600)
    ground.file("system/pam.d/ftpsd-bench", PAM)
    return ["unshare", "--mount", "sh", "-c", MOUNTS, "sh", str(ground.directory / "system"), *argv]
