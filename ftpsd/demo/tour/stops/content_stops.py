"""Stops about what is in files: accept rules, a virus scanner, encryption at rest, OpenPGP, retention."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from ftpsd.demo.tour.engines_at_hand import EICAR, ENGINE
from ftpsd.demo.tour.ground import Failed, Ground
from ftpsd.demo.tour.stop import Stop
from ftpsd.demo.tour.tour_settings import VAULT, append_section

# Of a program for Linux: the first bytes of an ELF file.
_PROGRAM: Final = b"\x7fELF\x02\x01\x01" + bytes(57)
_MARKER: Final = "IBAN DE02 1203 0000 0000 2020 51"
GPG: Final = "gpg"
GPGCONF: Final = "gpgconf"


def _gate(ground: Ground) -> None:
    fake = ground.directory / "report.pdf"
    fake.write_bytes(_PROGRAM)
    done = ground.visit(upload=fake, path="/inbox/report.exe")
    ground.screen.claim(done.code == "553", "a name that is not on the list is refused before a byte is sent")
    done = ground.visit(upload=fake, path="/inbox/report.pdf")
    ground.screen.claim(done.code == "550", "a program that is called report.pdf is refused by its first bytes")
    incident = ground.audited("upload-refused", path="/inbox/report.pdf")["incident"]
    ground.screen.claim(not (ground.home / "inbox/report.pdf").exists(), "it never had its name in the home")
    ground.metrics("ftpsd_upload_refusals_total")
    ordered = ground.ftpsd("quarantine", "list")
    ground.screen.claim(incident in ordered.text, "it lies in the quarantine under the number that the client read")
    ground.ftpsd("quarantine", "release", incident, "--reason", "it is ours")
    ground.audited("quarantine-released")
    ground.screen.claim((ground.home / "inbox/report.pdf").exists(), "an operator has published it")


def _engine(ground: Ground) -> None:
    if not ground.has_engine:
        raise Failed("clamd has not started")
    clean, infected = ground.directory / "clean.txt", ground.directory / "infected.txt"
    clean.write_text("nothing to find\n")
    infected.write_bytes(EICAR)
    done = ground.visit(upload=clean, path="/scanned/clean.txt")
    ground.screen.claim(done.code == "226", "226 means that the engine has found nothing")
    ground.audited("file-stored", path="/scanned/clean.txt")
    done = ground.visit(upload=infected, path="/scanned/infected.txt")
    ground.screen.claim(done.code == "550", "what it finds is refused, and never published")
    ground.audited("upload-refused", path="/scanned/infected.txt")
    ground.metrics("ftpsd_scan_verdicts_total")


def _encryption(ground: Ground) -> None:
    user, letter = ground.named(VAULT), ground.directory / "letter.txt"
    letter.write_text(f"Please pay to {_MARKER}.\n")
    ground.visit(user=user, upload=letter, path="/letter.txt")
    ground.audited("file-stored", path="/letter.txt")
    lying = (ground.directory / "homes" / VAULT / "letter.txt").read_bytes()
    ground.screen.line("disk  ", f"{lying[:24].hex(' ')} ... ({len(lying)} bytes)")
    ground.screen.claim(_MARKER.encode() not in lying, "the account number is nowhere in the file on the disk")
    done = ground.visit(user=user, path="/letter.txt")
    ground.screen.claim(_MARKER in done.text, "the client reads what it has stored")


def _openpgp(ground: Ground) -> None:
    home = ground.directory / "partner-gpg"
    home.mkdir(mode=0o700)
    gpg = [GPG, "--homedir", str(home), "--batch", "--quiet"]
    public = ground.directory / "partner.asc"
    try:
        ground.screen.text("The partner has a key pair in a keyring of its own, and hands out the public key:")
        made = ground.run(
            *gpg,
            "--passphrase",
            "",
            "--quick-generate-key",
            "partner@example.com",
            "future-default",
            "default",
            "never",
        )
        if made.returncode != 0:
            raise Failed(f"gpg has made no key: {made.stderr.decode(errors='replace').strip()}")
        public.write_bytes(ground.run(*gpg, "--armor", "--export").stdout)
        ordered = ground.ftpsd("keys", "import", str(public))
        fingerprint = _fingerprint(gpg, ground)
        ground.screen.claim(fingerprint in ordered.text, "the server has the public key")
        rule = append_section(ground.demo, {"pgp": [{"paths": ["/sealed/**"], "encrypt_to": [fingerprint]}]})
        ground.screen.text("A rule in ftpsd.yaml, and a reload:")
        ground.screen.output(rule)
        ground.ftpsd("reload")
        done = ground.visit(upload=ground.demo.parcel, path="/sealed/parcel.txt")
        ground.audited("file-stored")
        lying = ground.home / "sealed/parcel.txt.pgp"
        plain = ground.demo.parcel.read_bytes()
        ground.screen.claim(
            done.code == "226" and plain not in lying.read_bytes(), "what lies on the disk is for the partner alone"
        )
        opened = ground.run(*gpg, "--decrypt", str(lying))
        ground.screen.claim(opened.stdout == plain, "the partner opens it with the secret key")
    finally:
        _end_agent(home)


def _fingerprint(gpg: list[str], ground: Ground) -> str:
    listed = ground.run(*gpg, "--with-colons", "--list-keys").stdout.decode().splitlines()
    found = next((line.split(":")[9] for line in listed if line.startswith("fpr:")), None)
    if found is None:
        raise Failed("gpg lists no key")
    return found


def _end_agent(home: Path) -> None:
    """End the agent that gpg leaves behind."""
    subprocess.run([GPGCONF, "--homedir", str(home), "--kill", "all"], capture_output=True, timeout=30, check=False)


def _retention(ground: Ground) -> None:
    ground.visit(upload=ground.demo.parcel, path="/brief/old.txt")
    ground.ftpsd("retention", "--dry-run", until="/brief/old.txt")
    ground.screen.claim((ground.home / "brief/old.txt").exists(), "it says what would go, and by which rule")
    ground.ftpsd("hold", "add", "--path", "/brief/**", "--reason", "case 2026-17")
    ground.audited("hold-added")
    ordered = ground.ftpsd("retention", "--dry-run")
    ground.screen.claim("1 held" in ordered.text, "a legal hold keeps the file")
    done = ground.visit(command="DELE /brief/old.txt")
    ground.screen.claim(done.code == "550", "and clients cannot delete it")


GATE: Final = Stop(
    "The accept gate, and the quarantine",
    (
        "Rules by path say which names, types, sizes and engines an upload must pass before it is answered with 226.",
        "What is refused is kept out of all homes, for an operator to look at.",
    ),
    _gate,
)
SCANNER: Final = Stop(
    "A virus scanner's verdict is the reply",
    (
        "Uploads are shown to ClamAV while they come in; this one knows a single signature, the EICAR test file.",
        "ICAP and programs of your own are engines, too.",
    ),
    _engine,
    (ENGINE,),
)
ENCRYPTION: Final = Stop(
    "Encryption at rest",
    (
        "A home can be encrypted on the disk, with keys that lie elsewhere; clients notice nothing.",
        "A changed byte is an error, and never wrong data.",
    ),
    _encryption,
)
OPENPGP: Final = Stop(
    "OpenPGP in the stream",
    (
        "Uploads to a path are encrypted to a partner's key while they come in; the plain bytes are never on the disk.",
        "The other way round uploads are decrypted, and their signatures verified, before 226.",
    ),
    _openpgp,
    (GPG, GPGCONF, "gpg-agent"),
)
RETENTION: Final = Stop(
    "Retention and legal holds",
    (
        "Files go when their time is over; a dry run says which, and by which rule.",
        "A hold keeps them whatever a rule or a client says.",
    ),
    _retention,
)
