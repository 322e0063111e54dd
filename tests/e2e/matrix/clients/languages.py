"""Clients in other languages, each a script or a small program under `scripts/`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.e2e.matrix.client import Client, Command, Inability, Job, output
from tests.tools import ROOT

SCRIPTS = Path(__file__).parent.parent / "scripts"
# .ci/run puts it there, from the lock in requirements/node. On a laptop:
# mkdir -p build/node && cp requirements/node/*.json build/node/ && npm ci --prefix build/node
NODE_MODULES = ROOT / "build" / "node" / "node_modules"
JAR = Path("/usr/share/java/commons-net.jar")
GOPATH = Path("/usr/share/gocode")
JLAFFAYE = GOPATH / "src" / "github.com" / "jlaffaye" / "ftp"
JVM = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
COMPILE_SECONDS = 240


def script(*words: str | Path, is_resident: bool = False) -> Callable[[Job], Sequence[Command]]:
    """Return what runs a script for a job."""
    return lambda job: [Command(words, is_resident=is_resident)]


def _built(arguments: list[str | Path], folder: Path, environ: dict[str, str]) -> None:
    words = [str(word) for word in arguments]
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, timeout=COMPILE_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr


def _build_java(build: Path) -> None:
    compiler = ["javac", *(f"-J{option}" for option in JVM[1:])]
    _built([*compiler, "-cp", JAR, "-d", build, SCRIPTS / "CommonsNet.java"], build, {"PATH": "/usr/bin:/bin"})


def _build_go(build: Path) -> None:
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(build), "GOPATH": str(GOPATH)}
    # No flags: with them the standard library is compiled anew, where Debian's package has it compiled.
    environ |= {"GO111MODULE": "off", "GOCACHE": str(build / "cache")}
    _built(["go", "build", "-o", build / "jlaffaye", SCRIPTS / "jlaffaye.go"], build, environ)


def _debian(package: str) -> Callable[[Path], str]:
    return lambda build: output("dpkg-query", "-W", "-f", "${Version}", package)


PHP = Client(
    name="PHP ftp",
    source="Debian: php-cli",
    how="`ftp_ssl_connect`, `ftp_login`, `ftp_pasv($ftp, true)`. It does not check certificates.",
    version=lambda build: output("php", "-r", "echo PHP_VERSION;"),
    commands=script("php", SCRIPTS / "ftp.php"),
    needs=("php",),
    cannot={
        "implicit": Inability(
            "`ftp_ssl_connect` only knows AUTH TLS (php-src, `ext/ftp/ftp.c`: `ftp_open` waits for a greeting in clear)"
        )
    },
)
RUBY = Client(
    name="Ruby net-ftp",
    source="Debian: ruby",
    how='`Net::FTP.new(nil, ssl: {ca_file: "ca.pem"})`, then `connect` and `login`.',
    version=lambda build: output("ruby", "-rnet/ftp", "-e", "print Net::FTP::VERSION"),
    commands=script("ruby", SCRIPTS / "net_ftp.rb", is_resident=True),
    needs=("ruby",),
    # Not tried: it waits for a greeting in clear until its time is over.
    cannot={"implicit": Inability("net-ftp 0.1.3 knows AUTH TLS alone: it has no option `implicit_ftps`")},
)
PERL = Client(
    name="Perl Net::FTP",
    source="Debian: perl, libio-socket-ssl-perl",
    how="`IO::Socket::SSL::set_defaults(SSL_session_key => HOST)`, so that data connections find the session to "
    "resume; without it they are refused with 522. Then `Net::FTP->new(HOST, SSL_ca_file => 'ca.pem')`, `starttls`, "
    "`login`, `prot('P')`, `binary`; `SSL => 1` for implicit TLS.",
    version=lambda build: output("perl", "-MNet::FTP", "-e", "print $Net::FTP::VERSION"),
    commands=script("perl", SCRIPTS / "net_ftp.pl", is_resident=True),
    needs=("perl",),
    files=(Path("/usr/share/perl5/IO/Socket/SSL.pm"),),
    cannot={"MLSD": Inability("Net::FTP has no call for it")},
)


NODE = Client(
    name="Node basic-ftp",
    source="npm: basic-ftp",
    how='`access({secure: true, secureOptions: {ca}})`, `secure: "implicit"` for implicit TLS. An upload of 0 bytes '
    "may fail: with a resumed TLS session basic-ftp takes the handshake for done before it is, and closes. With TLS "
    "1.2, which it gets by default, empty files given by their path were stored (95 of 95), and of empty streams 25 "
    "of 60 ended the session; with TLS 1.3 most of either are refused (425 or 426). Nothing is stored then: log in "
    "again and repeat.",
    version=lambda build: output(
        "node", "-p", f'require("{NODE_MODULES}/basic-ftp/package.json").version + ", Node " + process.versions.node'
    ),
    commands=script("node", SCRIPTS / "basic_ftp.mjs", NODE_MODULES, is_resident=True),
    needs=("node",),
    files=(NODE_MODULES / "basic-ftp",),
    cannot={
        "PORT": Inability("basic-ftp is passive only (its README, and issue 25)"),
        "EPRT": Inability("basic-ftp is passive only (its README, and issue 25)"),
        "NLST": Inability("basic-ftp lists with MLSD, or with LIST"),
    },
)
JAVA = Client(
    name="Java Commons Net",
    source="Debian: libcommons-net-java",
    how='`FTPSClient(isImplicit, sslContext)`, then `execPBSZ(0)`, `execPROT("P")`, `setControlEncoding("UTF-8")`, '
    "`setFileType(BINARY_FILE_TYPE)`, `enterLocalPassiveMode()`. Without `setFileType` it sends no `TYPE` and converts "
    "line ends: see `default_type` in [configuration.md](configuration.md#default_type).",
    version=_debian("libcommons-net-java"),
    commands=lambda job: [
        Command(
            [
                "java",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-cp",
                f"{JAR}:{job.build}",
                "CommonsNet",
                "resident",
            ],
            is_resident=True,
        )
    ],
    needs=("java", "javac"),
    files=(JAR,),
    build=_build_java,
    offered="`FTPSClient` begins a TLS session of its own for every data connection (Apache NET-408)",
)
GO = Client(
    name="Go jlaffaye/ftp",
    source="Debian: golang-github-jlaffaye-ftp-dev",
    how="`DialWithExplicitTLS(config)` or `DialWithTLS(config)`; `config.ClientSessionCache = "
    "tls.NewLRUClientSessionCache(32)` "
    "lets it resume.",
    version=_debian("golang-github-jlaffaye-ftp-dev"),
    commands=lambda job: [Command([job.build / "jlaffaye"])],
    needs=("go",),
    files=(JLAFFAYE,),
    build=_build_go,
    cannot={
        "PORT": Inability("jlaffaye/ftp is passive only (its issue 29)"),
        "EPRT": Inability("jlaffaye/ftp is passive only (its issue 29)"),
    },
)
ERLANG = Client(
    name="Erlang ftp",
    source="Debian: erlang-ftp",
    how="`ftp:open(Host, [{tls, TLSOptions}, {tls_sec_method, ftpes}, {tls_ctrl_session_reuse, true}])`, "
    "`ftps` for implicit "
    "TLS. `{ftp_extension, true}` for EPSV and EPRT. Names go in as lists of UTF-8 bytes.",
    version=_debian("erlang-ftp"),
    commands=lambda job: [Command(["escript", SCRIPTS / "ftp.escript"], is_resident=True)],
    needs=("escript",),
    cannot={
        "MLSD": Inability("`ftp` has no call for it"),
        "size": Inability("`ftp` has no call for it"),
        "time": Inability("`ftp` has no call for it"),
        "reget": Inability("`ftp` never sends REST"),
    },
)
