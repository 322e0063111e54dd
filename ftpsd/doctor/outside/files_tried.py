"""
A small test file that goes to the server and comes back: upload, download, resume, listing, names, deletion.

Uploaded files are deleted, whatever comes in between; those that cannot be are named.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from ftpsd.doctor.finding import Finding, ok, problem, warning
from ftpsd.doctor.outside.visit import Visit
from ftpsd.partners.contact import Fault, PartnerError
from ftpsd.partners.replies import features, lines_of, size_in

# Bytes: several records of TLS, so that a server which loses the last one is found out.
LENGTH: Final = 100_000
# Seconds that a server may look for viruses.
JUDGED: Final = 60.0
RIGHTS: Final = "the rules of the user's role in users.yaml; ftpsd explain NAME {} PATH names the one that decides"
MISSING_CLOSE: Final = "clients that are strict (GnuTLS, Python) take the file for cut off; the server is at fault"


def look_at_files(visit: Visit) -> Iterator[Finding]:
    """Yield what is found with a test file in the working directory."""
    offered = features(visit.ask("FEAT"))
    if "UTF8" not in offered:
        yield warning("FEAT has no UTF8: names beyond ASCII arrive as the server takes them", "a matter of the server")
    else:
        visit.ask("OPTS UTF8 ON")
    for verb, loss in (("MLST", "listings have no exact times"), ("REST", "broken transfers begin anew")):
        if verb not in offered:
            yield warning(f"FEAT has no {verb}: {loss}", "a matter of the server")
    if visit.ask("TYPE I").code // 100 != 2:
        yield problem("TYPE I is refused: files would be changed on their way", "a matter of the server")
        return
    token = secrets.token_hex(4)
    plain, beyond = f"ftpsd-doctor-{token}.tmp", f"ftpsd-doctor-{token}-äß-漢.tmp"
    data = secrets.token_bytes(LENGTH)
    made: list[str] = []
    try:
        yield from _carried(visit, plain, data, made)
        if made:
            yield from _listed(visit, plain, "MLSD" if "MLST" in offered else "NLST")
            yield from _named(visit, beyond, "MLSD" if "MLST" in offered else "NLST", made)
    finally:
        left = _deleted(visit, made)
    if made and not left:
        yield ok("what was uploaded could be deleted")
    for name in left:
        yield warning(f"{name} could not be deleted and stays on the server", RIGHTS.format("delete"))


def _carried(visit: Visit, name: str, data: bytes, made: list[str]) -> Iterator[Finding]:
    half = len(data) // 2
    try:
        _store(visit, name, data[:half], 0, made)
    except PartnerError as error:
        if error.fault not in (Fault.REFUSED, Fault.LATER):
            raise
        yield warning(f"an upload is refused ({error})", f"--directory DIR names another; {RIGHTS.format('upload')}")
        return
    yield ok("an upload works")
    try:
        _store(visit, name, data[half:], half, made)
        whole = data
        yield ok("an upload can be resumed (REST, STOR)")
    except PartnerError as error:
        if error.fault not in (Fault.REFUSED, Fault.LATER):
            raise
        whole = data[:half]
        yield warning(f"an upload cannot be resumed ({error})", RIGHTS.format("append"))
    size = size_in(visit.ask(f"SIZE {name}"))
    if size is not None and size != len(whole):
        yield problem(f"the file has {size} bytes, and {len(whole)} were sent", "the server loses data: its log")
        return
    try:
        back = visit.read(f"RETR {name}")
        rest = visit.read(f"RETR {name}", len(whole) // 2)
    except PartnerError as error:
        if error.fault is not Fault.REFUSED:
            raise
        yield warning(f"a download is refused ({error})", RIGHTS.format("read"))
        return
    if back.data != whole:
        yield problem(f"the file came back changed: {len(back.data)} of {len(whole)} bytes", "the server's log")
        return
    yield ok("a download works, and the file is what was sent")
    if rest.data == whole[len(whole) // 2 :]:
        yield ok("a download can be resumed (REST, RETR)")
    else:
        yield problem("a resumed download brought other bytes than the file has there", "the server is at fault")
    if back.is_ended:
        yield ok("downloads end with close_notify")
    else:
        yield warning("a download ended without close_notify", MISSING_CLOSE)


def _listed(visit: Visit, name: str, verb: str) -> Iterator[Finding]:
    try:
        found = visit.read(verb)
    except PartnerError as error:
        if error.fault is not Fault.REFUSED:
            raise
        yield warning(f"{verb} is refused ({error})", RIGHTS.format("list"))
        return
    if any(line.endswith(name) for line in lines_of(found.data)):
        yield ok(f"{verb} lists the file")
    else:
        yield warning(f"{verb} does not list the file", RIGHTS.format("list"))


def _named(visit: Visit, name: str, verb: str, made: list[str]) -> Iterator[Finding]:
    try:
        _store(visit, name, b"name", 0, made)
        lines = list(lines_of(visit.read(verb).data))
    except PartnerError as error:
        if error.fault is not Fault.REFUSED:
            raise
        yield warning(f"a name in UTF-8 is refused ({error})", "the accept rules of ftpsd.yaml may say so")
        return
    if any(line.endswith(name) for line in lines):
        yield ok("names in UTF-8 arrive as they were sent")
    else:
        yield warning("a name in UTF-8 comes back as another", "users.NAME.encoding in users.yaml")


def _store(visit: Visit, name: str, data: bytes, offset: int, made: list[str]) -> None:
    with visit.transfer(f"STOR {name}", offset) as line:
        if name not in made:
            made.append(name)
        line.send(data)
        line.end()
    visit.finish(JUDGED)


def _deleted(visit: Visit, names: list[str]) -> list[str]:
    """Delete *names*; return those that stay."""
    left = []
    for name in names:
        is_gone = False
        with suppress(PartnerError):
            is_gone = visit.ask(f"DELE {name}").code // 100 == 2
        if not is_gone:
            left.append(name)
    return left
