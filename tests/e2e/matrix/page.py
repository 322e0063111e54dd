"""docs/clients.md: a table of what every client does, and how each is to be configured."""

from __future__ import annotations

import re

from tests.e2e.matrix.client import MODES, Client
from tests.e2e.matrix.registry import CLIENTS
from tests.e2e.matrix.results import Results
from tests.e2e.matrix.steps import HUNDRED, STEPS
from tests.tools import ROOT

PAGE = ROOT / "docs" / "clients.md"
VERSION = re.compile(r"^\* version (.*?); ", re.MULTILINE)

HEAD = """\
# Clients

This page shows what every client of Debian 12, PyPI and npm that speaks TLS does with ftpsd. `tests/e2e/matrix` checks
each cell on the server's disk, on what came down and in the audit log; a whole run in which nothing failed writes this
page: `FTPSD_TESTS_WRITE_CLIENTS=1 pytest -n 0 tests/e2e/matrix`.

`E` works with explicit TLS (`AUTH TLS`, port 21), `I` with implicit TLS (port 990); `-` the client cannot, and its
section says why. The clients ran with their defaults where nothing else is said, and so did ftpsd: it chose TLS 1.2
(`tls.maximum_version: auto`), and data connections had to resume the TLS session, except for clients marked *offered*.
"""

OFFERED = """\
## Clients that never resume a TLS session

By default ftpsd refuses their data connections: `522 The data connection must resume the TLS session of the control
connection.` Resumption proves that the data connection comes from whoever logged in. For a user whose client cannot,
give that proof up in users.yaml, and name the networks the client comes from:

```yaml
users:
  nightly-export:
    data_session_reuse: offered
    networks: [192.0.2.0/24]
```
"""

SECOND_FACTORS = """\
## Second factors

A user with a second factor is asked for a code of six digits; [configuration.md](configuration.md#second-factors) has
the rules. The table shows what to type into each client, seen in `tests/e2e/factors`:

| client | the code |
| --- | --- |
| curl | `-u USER:PASSWORD --ftp-account CODE`, or `-u USER:PASSWORDCODE`; with `-Z` all transfers bring the same |
| lftp | `set ftp:acct CODE` before `open -u USER,PASSWORD`, or the code behind the password; `mirror -P 8` is let in |
| Python's ftplib | `ftp.login(USER, PASSWORD, CODE)`, or the code behind the password |
| FileZilla | "Account" with the code as account, or "Ask for password" and the code behind it; a queue sends the same |
| others | the code behind the password, which every client can |

A client is remembered for `second_factor.remember` (15 minutes): its next connections need no code, and an old one does
no harm. Programs that run at night have nobody to type a code: give them `authentication: certificate`, a user of their
own, and `networks`.
"""

CERTIFIED = """\
## Clients with certificates

```sh
curl --ssl-reqd --cacert ca.pem --cert alice.pem --user alice: ftp://HOST/
lftp -e 'set ssl:ca-file ca.pem; set ssl:cert-file alice.pem; set ssl:key-file alice.pem' -u alice, ftp://HOST
```

`alice.pem` holds the key, the certificate and the intermediate ones behind it. The password stays empty where the
certificate is the whole login (232 behind `USER`), and is the ticket the first time where `ftpsd user enrol` has given
one. In Python it is `load_cert_chain` of the `ssl.SSLContext` that `ftplib.FTP_TLS` gets. All of them send the
certificate on data connections, too, where they do not resume the session of the login.
"""

UNDRIVEN = """\
## Not driven here

* **duplicity** transfers with lftp (`ftpes://` and `ftps://`), see there; **git-ftp** with curl.
* **curlftpfs** is not in Debian 12; **ncftp, tnftp, inetutils-ftp, wput** of Debian 12 have no working TLS.
* **Perl's Net::FTPSSL** is not in Debian; Net::FTP stands for it.
* **FileZilla, WinSCP, Cyberduck** need a screen: what they are known to do is played back in
  `tests/e2e/programs/test_quirks.py` and the unit tests.
"""


def cell(client: Client, step: str, results: Results) -> str:
    """Return one cell: the modes in which the step works."""
    works = [mode[0].upper() for mode in MODES if results.verdict(client, mode, step) == "works"]
    return " ".join(works) or "-"


def table(results: Results) -> str:
    """Return the table: clients down, steps across."""
    head = ["client", *(step.title for step in STEPS)]
    rows = [
        [f"[{client.name}](#{anchor(client.name)})", *(cell(client, s.name, results) for s in STEPS)]
        for client in CLIENTS
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def anchor(name: str) -> str:
    """Return what a heading's anchor is called."""
    return re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-")


def section(client: Client, version: str) -> str:
    """Return what there is to say about one client."""
    lines = [f"### {client.name}\n", f"* version {version}; {client.source}", f"* {client.how}"]
    if client.offered:
        lines.append(f"* *offered*: {client.offered}.")
    if client.many != HUNDRED:
        lines.append(f"* its last step had {client.many} files.")
    reasons: dict[str, list[str]] = {}
    titles = {step.name: step.title for step in STEPS}
    for key, inability in client.cannot.items():
        reasons.setdefault(inability.reason, []).append(titles.get(key, f"{key} TLS"))
    lines += [f"* cannot: {', '.join(steps)}: {reason}." for reason, steps in reasons.items()]
    return "\n".join(lines) + "\n"


def render(results: Results, versions: dict[str, str]) -> str:
    """Return the whole page."""
    sections = [section(client, versions.get(client.name, "?")) for client in CLIENTS]
    parts = [HEAD, table(results), OFFERED, SECOND_FACTORS, CERTIFIED]
    return "\n".join([*parts, "## Each client\n", *sections, UNDRIVEN])


def committed_versions(page: str) -> dict[str, str]:
    """Return the versions a page names, by client."""
    found: dict[str, str] = {}
    for text in page.split("\n### ")[1:]:
        if match := VERSION.search(text):
            found[text.partition("\n")[0]] = match[1]
    return found
