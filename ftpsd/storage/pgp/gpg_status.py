"""
The status lines of gpg (doc/DETAILS of GnuPG, "Format of the --status-fd output"), and the verdict on a message.

gpg ends with 0 also for a signature of a key that has expired, and for a message that was never encrypted; and it hands
out plaintext before it knows whether that is whole. So a file counts only when the exit code and the lines agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

PREFIX = b"[GNUPG:] "
# Bytes of lines in one run; a message with a few recipients and signatures has 2 KiB.
MOST_STATUS = 64 * 1024

_BAD_SIGNATURES = {
    "BADSIG": "the signature is not that of the content",
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "the key of the signature has expired",
    "REVKEYSIG": "the key of the signature was revoked",
    "ERRSIG": "the key of the signature is not in the key home",
}


def lines_of(text: bytes) -> list[tuple[str, ...]]:
    """Return the words of each status line in *text*, its keyword first."""
    lines = text.split(b"\n")[:-1]
    return [
        tuple(line[len(PREFIX) :].decode("utf-8", "replace").split(" ")) for line in lines if line.startswith(PREFIX)
    ]


def fault_of_keys(lines: Iterable[tuple[str, ...]]) -> str | None:
    """Return which key cannot be used for a message that was to be made, None where none is named."""
    words = {line[0]: line for line in lines}
    if "INV_RECP" in words:
        return f"the key {words['INV_RECP'][-1]} cannot be encrypted to: missing, expired, revoked or without a subkey"
    if "INV_SGNR" in words:
        return f"the key {words['INV_SGNR'][-1]} cannot sign: missing, expired, revoked or without its secret part"
    return None


def is_sealed(code: int, lines: Iterable[tuple[str, ...]], *, signs: bool) -> bool:
    """Return whether a message was made, whole, as it was asked for."""
    words = {line[0] for line in lines}
    return code == 0 and "END_ENCRYPTION" in words and ("SIG_CREATED" in words or not signs)


def fault_of_opening(
    code: int, lines: Iterable[tuple[str, ...]], signers: Collection[str]
) -> tuple[str | None, str | None]:
    """
    Return why an opened message is not to be used, None for a good one, and the fingerprint of its signer.

    *signers* are the fingerprints of which one has to have signed, none where no signature is asked for; a signature
    that is there and bad is one reason in any case.
    """
    lines = list(lines)
    words = [line[0] for line in lines]
    for word, fault in _BAD_SIGNATURES.items():
        if word in words:
            return fault, None
    if "NO_SECKEY" in words and "DECRYPTION_OKAY" not in words:
        return "it is encrypted to no key of ours", None
    # Bytes that are not inside of the encryption were not protected by it.
    if words.count("BEGIN_DECRYPTION") != 1 or words.count("PLAINTEXT") != 1:
        return "it is no encrypted OpenPGP message", None
    begin, end = words.index("BEGIN_DECRYPTION"), words.index("END_DECRYPTION") if "END_DECRYPTION" in words else -1
    if "DECRYPTION_OKAY" not in words or not begin < words.index("PLAINTEXT") < end:
        return "it cannot be decrypted: damaged, cut off, or not protected against changes", None
    valid = [line for line in lines[begin:end] if line[0] == "VALIDSIG"]
    by = {name.upper() for line in valid for name in (line[1], line[-1])}
    if signers and not any(signer in by for signer in signers):
        return ("it is signed by a key that is not allowed" if valid else "it is not signed"), None
    if code:
        return "gpg did not decrypt it", None
    return None, valid[0][-1].upper() if valid else None
