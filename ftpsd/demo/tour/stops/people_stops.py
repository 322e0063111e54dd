"""Stops about users: bans, roles, second factors, client certificates."""

from __future__ import annotations

import re
import time
from base64 import b32decode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ftpsd.auth.codes import code_of, step_at
from ftpsd.demo.ours import write
from ftpsd.demo.tour.ground import Failed, Ground
from ftpsd.demo.tour.stop import Stop
from ftpsd.demo.tour.tour_settings import CARD, CODE, FAILURES, PARTNER, STRANGER

_SECRET: Final = re.compile(r"otpauth://\S*[?&]secret=([A-Z2-7]+)")
_TICKET: Final = re.compile(r"^enrol-\S+$", re.MULTILINE)


def _bans(ground: Ground) -> None:
    ground.screen.text(f"Somebody at {STRANGER} guesses; it is enough for a ban here after {FAILURES} wrong passwords.")
    done = ground.visit(password="guess-1", source=STRANGER)
    ground.screen.claim(done.code == "530", "the first is refused, and not told why")
    ground.audited("login-refused")
    for number in range(2, FAILURES + 1):
        ground.visit(password=f"guess-{number}", source=STRANGER)
    ground.audited("banned", peer=STRANGER)
    ground.screen.text("Now even the right password gets no further than the greeting:")
    done = ground.visit(source=STRANGER)
    ground.screen.claim(done.code == "421", "the address is banned")
    ground.metrics("ftpsd_bans ", "ftpsd_auth_attempts_total")
    ground.ftpsd("bans")
    ground.ftpsd("unban", STRANGER)
    done = ground.visit(source=STRANGER)
    ground.screen.claim(done.code == "226", "an operator has ended the ban")


def _roles(ground: Ground) -> None:
    partner, inbox = ground.named(PARTNER), "/inbox/order.csv"
    order = ground.directory / "order.csv"
    order.write_text("article,pieces\n4711,12\n")
    done = ground.visit(user=partner, upload=order, path=inbox)
    ground.screen.claim(done.code == "226", "the partner may store in /inbox")
    done = ground.visit(user=partner, command=f"DELE {inbox}")
    ground.screen.claim(done.code == "550", "and not delete there")
    ground.audited("command", command="DELE", code=550)
    done = ground.visit(user=partner, upload=order, path="/outbox/order.csv")
    ground.screen.claim(done.code == "550", "nor store in /outbox")
    ordered = ground.ftpsd("explain", partner, "delete", inbox)
    ground.screen.claim(ordered.text.startswith("denied"), "`ftpsd explain` names the rule that decides")


def _second_factor(ground: Ground) -> None:
    user = ground.named(CODE)
    ordered = ground.ftpsd("user", "otp", user, "--no-confirm")
    found = _SECRET.search(ordered.text)
    if found is None:
        raise Failed("the command has printed no secret")
    secret = b32decode(found[1] + "=" * (-len(found[1]) % 8))
    ground.ftpsd("reload")
    done = ground.visit(user=user)
    ground.screen.claim(done.code not in ("226", "230"), "the password alone is not enough")
    code = code_of(secret, step_at(time.time()))
    ground.screen.text(
        f"The app on the phone shows {code[:3]} {code[3:]} now. Clients give it behind the password, or by ACCT:"
    )
    done = ground.visit(user=user, password=ground.password + code)
    ground.screen.claim(done.code == "226", "password and code are")
    ground.audited("logged-in", user=user)
    ground.metrics('ftpsd_auth_attempts_total{method="password+totp"')


def _certificate(ground: Ground) -> None:
    user = ground.named(CARD)
    pair = _make_pair(ground.directory, user)
    ground.screen.text("The client has made itself a key and a certificate, which no authority has signed.")
    ordered = ground.ftpsd("user", "enrol", user)
    found = _TICKET.search(ordered.text)
    if found is None:
        raise Failed("the command has printed no ticket")
    ground.screen.text("The partner gets the ticket by another way, and gives it once in place of a password:")
    done = ground.visit(user=user, password=found[0], certificate=pair)
    ground.screen.claim(done.code == "226", "the ticket has pinned the certificate to the user")
    ground.audited("certificate-enrolled")
    ground.screen.text("From now on the certificate is the whole login (232):")
    done = ground.visit(user=user, password="none", certificate=pair)
    ground.screen.claim(done.code == "226", "logged in by the certificate")
    ground.audited("logged-in", user=user, method="certificate")
    done = ground.visit(user=user)
    ground.screen.claim(done.code == "530", "a password without it opens nothing")


def _make_pair(directory: Path, user: str) -> tuple[Path, Path]:
    """Make a certificate that has signed itself, and its key; return their files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .sign(key, SHA256())
    )
    files = directory / "client.pem", directory / "client-key.pem"
    write(files[0], built.public_bytes(Encoding.PEM).decode())
    write(files[1], key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    return files


BANS: Final = Stop(
    "Wrong passwords, and a ban",
    (
        "A client that guesses is slowed down, and then banned; others notice nothing.",
        "Wrong names and wrong passwords are answered alike, with the same delay.",
    ),
    _bans,
)
ROLES: Final = Stop(
    "Roles",
    (
        "Rules in users.yaml say who may do what where; the first that matches decides, and nothing else is allowed.",
        "A partner stores in /inbox and fetches from /outbox here.",
    ),
    _roles,
)
SECOND_FACTOR: Final = Stop(
    "A second factor",
    (
        "A code that an app shows for half a minute (TOTP), beside the password. It counts once.",
        "Clients that know no second factor write it behind the password.",
    ),
    _second_factor,
)
CERTIFICATE: Final = Stop(
    "Client certificates, without an authority",
    (
        "A ticket pins the certificate of a client at its first login; there is no list to keep, and no authority.",
        "Certificates of authorities, with revocation lists, are taken, too.",
    ),
    _certificate,
)
