"""The remedy for a certificate chain that is not accepted, by OpenSSL's code (openssl-verification-options(1))."""

from __future__ import annotations

from typing import Final

_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_SELF_SIGNED: Final = 18
_OWN_AUTHORITY: Final = 19

_BY_CODE: Final = {
    _NOT_YET_VALID: "look at the clocks of this machine and of the server, and have one issued that is valid now",
    _EXPIRED: "renew the certificate: the server takes the new one within seconds",
    _SELF_SIGNED: (
        "have a certificate issued by an authority that clients trust; where partners trust this very one, by the file "
        "or its fingerprint, give it to this command with --ca FILE"
    ),
    _OWN_AUTHORITY: (
        "give clients the certificate of the authority, and this command with --ca FILE; where it is to be a public "
        "one, have the certificate issued by that"
    ),
}
_INCOMPLETE: Final = "put the intermediate certificates behind the server's own in tls.certificate"


def remedy(code: int, *, is_named: bool) -> str:
    """Return what mends the *code*; *is_named* says whether the authority was named with --ca."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    return _INCOMPLETE if is_named else f"{_INCOMPLETE}; where the authority is your own, name it with --ca FILE"
