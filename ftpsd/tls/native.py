"""
Native calls: calls of OpenSSL through the bindings that pyOpenSSL uses, and not through pyOpenSSL.

These bindings are no public interface and may change. So everything is looked for when this module is loaded, and where
something is missing, pyOpenSSL's documented calls serve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey

# SSL_read returns at most one record, and pyOpenSSL allocates the size it is asked for.
RECORD: Final = 16 * 1024

# Records in a row that may bring no data, before their sender has the connection ended. A client that rekeys sends one.
MOST_WITHOUT_DATA: Final = 32
# SSL_MODE_AUTO_RETRY, which pyOpenSSL sets on every connection and does not name.
AUTO_RETRY: Final = 0x4

# Fills a buffer with a record or less and returns how many bytes that was. Raises what `SSL.Connection.recv_into` does.
Reader = Callable[[memoryview], int]

_lib: Any = getattr(SSL, "_lib", None)
_ffi: Any = getattr(SSL, "_ffi", None)


def direct_reader(connection: SSL.Connection) -> Reader:
    """
    Return a function that lets OpenSSL write the bytes of *connection* into the caller's buffer.

    recv_into takes 16 KiB from the heap for each record, copies out of it, and asks how it went also when it went well:
    a third of the processor time of receiving (0.49 s for 1 GiB in place of 0.32, over memory 0.54 in place of 0.39);
    with eight uploads at once, whose threads share an interpreter, a sixth.
    """
    ssl: Any = connection._ssl
    give_reason: Callable[[Any, int], None] = connection._raise_ssl_error
    ssl_read: Callable[[Any, Any, int], int] = _lib.SSL_read
    from_buffer: Callable[[str, memoryview, bool], Any] = _ffi.from_buffer

    def read(buffer: memoryview) -> int:
        # A handle kept for the whole buffer would save 0.1 us of the 5 that a record takes. This one knows its bounds.
        result = ssl_read(ssl, from_buffer("char[]", buffer, True), len(buffer))
        if result <= 0:
            # Never read again to learn what it was: behind an end without close_notify OpenSSL calls it a proper one.
            give_reason(ssl, result)
            raise SSL.Error([("SSL routines", "", "no reason given")])
        return result

    return read


def copying_reader(connection: SSL.Connection) -> Reader:
    """Return a function that reads *connection* with documented calls of pyOpenSSL only."""
    recv_into = connection.recv_into

    def read(buffer: memoryview) -> int:
        return recv_into(buffer, RECORD)

    return read


def read_record_by_record(connection: SSL.Connection, *, is_over_memory: bool) -> None:
    """
    Let a read of *connection* return behind a record that brought no data, with WantReadError.

    With AUTO_RETRY one SSL_read takes every KeyUpdate and every refused renegotiation hello that lies in the socket:
    10 MB of them held the reactor for 4 s. Without the bindings it stays as pyOpenSSL has it.
    """
    # No event is raised for records left in memory: the reader has to look for them, by `unread`.
    if HAS_MODES and (HAS_MEMORY or not is_over_memory):
        _lib.SSL_clear_mode(connection._ssl, AUTO_RETRY)


def unread(connection: SSL.Connection) -> int:
    """Return how many bytes OpenSSL has not yet read of those given to *connection*, which is over memory."""
    if not HAS_MEMORY:
        return 0
    start = _ffi.new("char **")
    count: int = _lib.BIO_get_mem_data(connection._into_ssl, start)
    return count


def session_reused(connection: SSL.Connection) -> bool:
    """Return whether the complete handshake of *connection* resumed a session; only where `CAN_TELL_REUSE`."""
    return bool(_lib.SSL_session_reused(connection._ssl) == 1)


def group_name(connection: SSL.Connection) -> str | None:
    """
    Return the IANA name of the group in which the complete handshake of *connection* agreed on its keys.

    In TLS 1.2 a resumed session has the group of the handshake that began it. None where OpenSSL cannot be asked.
    """
    if not CAN_NAME_GROUPS:
        return None
    return connection.get_group_name()


def can_share(certificate: X509, key: PKey) -> bool:
    """Return whether everything is there that `share` uses; *certificate* and *key* are examples."""
    return HAS_CONTEXTS and hasattr(certificate, "_x509") and hasattr(key, "_pkey")


def share(context: SSL.Context, certificate: X509, chain: tuple[X509, ...], key: PKey) -> None:
    """
    Give *context* references to *certificate*, the *chain* behind it, and its *key*; only where `can_share`.

    pyOpenSSL would copy the chain into each context, by encoding and parsing: 17 us and its memory for a certificate,
    where a whole context costs 85 us. It warns about certificates of its own, too, and to silence that costs another 4.

    Raises:
        SSL.Error: OpenSSL refuses them; not for what another context has taken.
    """
    native: Any = context._context
    is_done = _lib.SSL_CTX_use_certificate(native, certificate._x509) == 1
    is_done = is_done and all(_add(native, each._x509) for each in chain)
    if not is_done or _lib.SSL_CTX_use_PrivateKey(native, key._pkey) != 1:
        # An error left in the queue would be taken for the reason of the next failure in this thread.
        _lib.ERR_clear_error()
        raise SSL.Error([("SSL routines", "", "certificate refused")])


def _add(native: Any, certificate: Any) -> bool:
    """Add a reference to *certificate* to the chain of a context, which lets go of it in the end."""
    _lib.X509_up_ref(certificate)
    is_done = bool(_lib.SSL_CTX_add_extra_chain_cert(native, certificate) == 1)
    if not is_done:
        _lib.X509_free(certificate)
    return is_done


_example = SSL.Connection(SSL.Context(SSL.TLS_SERVER_METHOD), None)

HAS_CONTEXTS: Final = hasattr(_example.get_context(), "_context") and all(
    hasattr(_lib, name)
    for name in (
        "ERR_clear_error",
        "SSL_CTX_add_extra_chain_cert",
        "SSL_CTX_use_PrivateKey",
        "SSL_CTX_use_certificate",
        "X509_free",
        "X509_up_ref",
    )
)

HAS_MODES: Final = hasattr(_example, "_ssl") and hasattr(_lib, "SSL_clear_mode")

HAS_MEMORY: Final = hasattr(_example, "_into_ssl") and hasattr(_lib, "BIO_get_mem_data") and hasattr(_ffi, "new")

CAN_NAME_GROUPS: Final = hasattr(_example, "get_group_name") and bool(
    getattr(_lib, "Cryptography_HAS_SSL_GET0_GROUP_NAME", 0)
)

CAN_TELL_REUSE: Final = hasattr(_example, "_ssl") and hasattr(_lib, "SSL_session_reused")

reader: Final = (
    direct_reader
    if hasattr(_example, "_ssl")
    and hasattr(_example, "_raise_ssl_error")
    and hasattr(_lib, "SSL_read")
    and hasattr(_ffi, "from_buffer")
    else copying_reader
)

del _example
