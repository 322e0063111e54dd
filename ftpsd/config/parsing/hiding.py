"""
The parts of a file that no message repeats: everything that could be a part of a password or its hash.

Messages go to terminals, journals and the audit log. A hash without quotes in `{ }` falls into several keys at its
commas, a wrong indent makes a user of `password`, and the file itself may be /etc/shadow. Each message has line and
column, so an operator who may read the file can look up the part that is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

# Characters. Longer than names and values that people write, and about as long as a digest.
MAX_SHOWN: Final = 64
HIDDEN: Final = "text that is not shown"
HIDDEN_KEY: Final = "(not shown)"
QUOTES: Final = "if it is part of a password hash, put the whole hash in 'single quotes'"

_SECRET_KEYS: Final = frozenset(
    {"password", "passwd", "pass", "passphrase", "secret", "token", "totp", "second_factor", "recovery", "hash"}
)
# The characters of keys, ours and mistyped ones.
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_HASH: Final = re.compile(r"\$[a-z0-9-]{1,16}\$")
_RUN: Final = re.compile(r"[A-Za-z0-9+.]{16,}")


def could_be_secret(text: str) -> bool:
    """Return whether *text* could be a hash, a part of one, or a line of a password file."""
    if "$" in text or (len(text) > MAX_SHOWN and not text.isalpha()):
        return True
    # A digest in hexadecimal or base64, without the dots of a host name or a file name.
    return any(_is_random(run) for run in _RUN.findall(text))


def could_be_secret_key(text: str) -> bool:
    """Return the same of a key or name; `:` and `=` stand in password files and hashes, not in names."""
    return ":" in text or "=" in text or could_be_secret(text)


def could_be_hash(text: str) -> bool:
    """Return whether *text* begins as the hashes of crypt(5) and Argon2 do."""
    return _HASH.match(text) is not None


def is_word(text: str) -> bool:
    """Return whether *text* could be a key that an operator mistyped."""
    return _WORD.fullmatch(text) is not None and not could_be_secret(text)


def holds_secrets(key: Sequence[str | int]) -> bool:
    """Return whether the value at *key* is, or may have been meant as, a password: of a user, or the whole file's."""
    is_user = len(key) == 2 and key[0] == "users"
    return not key or is_user or any(isinstance(part, str) and part.lower() in _SECRET_KEYS for part in key)


def _is_random(run: str) -> bool:
    has_digit, has_lower, has_upper = (any(map(test, run)) for test in (str.isdigit, str.islower, str.isupper))
    kinds = has_digit + has_lower + has_upper
    return kinds == 3 or (kinds == 2 and len(run) >= (20 if has_digit else 32))
