"""The text that other servers send: believed as far as it can be checked."""

from __future__ import annotations

import pytest

from ftpsd.partners.contact import PartnerError, RemoteFile
from ftpsd.partners.frames import LONGEST, FrameError, Frames, frame
from ftpsd.partners.replies import Answer, fact_line, features, list_line, passive_port, size_in


def test_passive_answers() -> None:
    """The port counts, the address does not; nonsense is refused."""
    for code, text, port in (
        (229, "Entering Extended Passive Mode (|||3001|)", 3001),
        (229, "ok (!!!65535!)", 65535),
        (227, "Entering Passive Mode (10,9,8,7,11,186).", 11 * 256 + 186),
        (227, "=127,0,0,1,1,2", 258),
    ):
        assert passive_port(Answer(code, (text,))) == port
    for code, text in ((229, "(|||0|)"), (229, "(|||70000|)"), (229, "(|1|h|21|)"), (227, "no"), (227, "1,2,3,4,0,0")):
        with pytest.raises(PartnerError):
            passive_port(Answer(code, (text,)))


def test_listings_become_names_of_one_component() -> None:
    """Each plain file and directory, under any name that is one; nothing that could lead elsewhere here."""
    for line, expected in (
        ("type=file;size=12;modify=20261130120000; a b;=.txt", RemoteFile("a b;=.txt", 12, "20261130120000")),
        ("Type=FILE;Size=1;Modify=20261130120000.250; x", RemoteFile("x", 1, "20261130120000.250")),
        ("type=file;size=1;modify=soon; x", RemoteFile("x", 1, "")),
        ("type=dir;size=1; x", RemoteFile("x", 0, "", is_directory=True)),
        ("type=dir;unique=fe01g2a; x", RemoteFile("x", 0, "", is_directory=True, unique="fe01g2a")),
        ("type=dir;unique=0g0; x", RemoteFile("x", 0, "", is_directory=True)),
        ("type=dir; ..", None),
        ("type=cdir; x", None),
        ("type=pdir; x", None),
        ("type=OS.unix=slink:/etc;size=1; x", None),
        ("type=file; x", None),
        ("type=file;size=-1; x", None),
        ("type=file;size=1; ../x", None),
        ("type=file;size=1; ..", None),
        ("type=file;size=1; a\x1b[2J", None),
        ("type=file;size=99999999999999999999; x", None),
        ("nonsense", None),
    ):
        assert fact_line(line) == expected, line
    for line, expected in (
        ("-rw-r--r--    1 64999    64999      700000 Dec 01 01:47 a b.bin", RemoteFile("a b.bin", 700000, "")),
        ("-rw-r--r--  1 owner 12 Nov 30  2025 x", RemoteFile("x", 12, "")),
        ("11-30-26  12:01PM              1234 report.csv", RemoteFile("report.csv", 1234, "")),
        ("drwxr-xr-x  2 a b 4096 Dec 01 01:47 d e", RemoteFile("d e", 0, "", is_directory=True)),
        ("drwxr-xr-x  2 a b 4096 Dec 01 01:47 ..", None),
        ("11-30-26  12:01PM       <DIR>          old files", RemoteFile("old files", 0, "", is_directory=True)),
        ("lrwxrwxrwx  1 a b 4 Dec 01 01:47 l -> /etc", None),
        ("-rw-r--r--  1 a b 4 Dec 01 01:47 ../etc", None),
        ("total 12", None),
    ):
        assert list_line(line) == expected, line
    assert features(Answer(211, ("Features:", " MLST size*;", " rest stream", "End"))) == {"MLST", "REST"}
    assert [size_in(Answer(*each)) for each in ((213, ("12",)), (213, ("x",)), (550, ("12",)))] == [12, None, None]


def test_sizes_that_no_file_has() -> None:
    """A number of so many digits that Python refuses to read it is no size: the line is left out, the others stay."""
    digits = "9" * 5000
    assert fact_line(f"type=file;size={digits}; a") is None
    assert list_line(f"-rw-r--r-- 1 a b {digits} Nov 30 12:01 a") is None
    assert list_line(f"11-30-26  12:01PM  {digits} a") is None


def test_frames_come_whole_and_bounded() -> None:
    """In any pieces; one that is too long is refused before its bytes are kept."""
    sent = frame(b"D", b"x" * 1000) + frame(b"N") + frame(b"T", b"{}")
    frames = Frames()
    found = [each for start in range(0, len(sent), 7) for each in frames.feed(sent[start : start + 7])]
    assert found == [(b"D", b"x" * 1000), (b"N", b""), (b"T", b"{}")]
    with pytest.raises(FrameError):
        frames.feed(b"D" + (LONGEST + 1).to_bytes(4, "big"))
