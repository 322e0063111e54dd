"""
The text of the demonstration at its start: facts, and lines to paste into a shell or a client.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote

from ftpsd import __version__

if TYPE_CHECKING:
    from ftpsd.demo.demonstration import Demo


def instructions(demo: Demo, *, is_kept: bool) -> str:
    """Return the page for *demo*; *is_kept* says that its directory stays."""
    ca, parcel = shlex.quote(str(demo.authority)), shlex.quote(str(demo.parcel))
    # Without the password the programs ask for it.
    login = shlex.quote(demo.user if demo.password is None else f"{demo.user}:{demo.password}")
    account = shlex.quote(demo.user if demo.password is None else f"{demo.user},{demo.password}")
    explicit, implicit = f"ftp://localhost:{demo.port}", f"ftps://localhost:{demo.implicit_port}"
    explicit_url, implicit_url = url(demo, "ftpes", demo.port), url(demo, "ftps", demo.implicit_port)
    fingerprint = shown_fingerprint(demo.fingerprint)
    curl = f"curl --ssl-reqd --cacert {ca} --user {login}"
    trust = f"set ssl:ca-file {_lftp_quote(str(demo.authority))}; set ftp:ssl-force true; set ftp:ssl-protect-data true"
    errand = f"cat welcome.txt; put {_lftp_quote(str(demo.parcel))} -o from-lftp.txt; ls; bye"
    lftp = f"lftp -u {account} -e {shlex.quote(f'{trust}; {errand}')}"
    unchanged = "unchanged since the first start in this directory (--password sets another)"
    return f"""\
ftpsd {__version__} demonstration; Ctrl-C ends it.

  user          {demo.user}
  password      {unchanged if demo.password is None else demo.password}
  explicit TLS  {explicit}
  implicit TLS  {implicit}
  directory     {demo.directory} ({"kept" if is_kept else "removed at the end"})
  certificate   SHA-256 {fingerprint}
  audit log     {demo.audit_log}, one JSON object a line
  status page   http://{demo.addresses[0]}:{demo.metrics_port}/, with metrics at /metrics

curl, explicit TLS: list, download, upload
  {curl} {explicit}/
  {curl} {explicit}/welcome.txt
  {curl} --upload-file {parcel} {explicit}/from-curl.txt

curl, implicit TLS: download, upload
  {curl} {implicit}/welcome.txt
  {curl} --upload-file {parcel} {implicit}/from-curl-implicit.txt

lftp, explicit and implicit TLS: download, upload, list
  {lftp} {explicit}
  {lftp} {implicit}

FileZilla, explicit and implicit TLS; compare the SHA-256 fingerprint that it shows
  filezilla {shlex.quote(explicit_url)}
  filezilla {shlex.quote(implicit_url)}

WinSCP, explicit and implicit TLS, in a Windows shell on this machine
  winscp.com /command "open {explicit_url}/ -certificate={fingerprint}" "ls" "exit"
  winscp.com /command "open {implicit_url}/ -certificate={fingerprint}" "ls" "exit"

metrics
  curl http://{demo.addresses[0]}:{demo.metrics_port}/metrics

What happens now, a line for each login, upload, download and refusal:
"""


def url(demo: Demo, scheme: str, port: int) -> str:
    """Return where *demo* is as FileZilla and WinSCP read it: ftpes is explicit TLS, ftps implicit."""
    password = "" if demo.password is None else f":{quote(demo.password, safe='')}"
    return f"{scheme}://{quote(demo.user, safe='')}{password}@localhost:{port}"


def shown_fingerprint(fingerprint: str) -> str:
    """Write `sha256:` and digits as FileZilla and WinSCP do: pairs of lower-case digits with colons between."""
    digits = fingerprint.removeprefix("sha256:").lower()
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


def _lftp_quote(text: str) -> str:
    """Quote for lftp's own command line, which is inside the shell's."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
