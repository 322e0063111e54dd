"""
libpam, by ctypes: authentication and account management of one user (pam(3), pam_conv(3)).

Blocks for as long as the modules of the service take. One transaction to a process: modules need not be safe in
threads, and what one does to the process ends with it.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_size_t, c_uint, c_void_p
from typing import Any, Final

from ftpsd.pam.protocol import Answer

# security/_pam_types.h of Linux-PAM.
SUCCESS: Final = 0
BUF_ERR: Final = 5
CONV_ERR: Final = 19
_RHOST: Final = 4
_FAIL_DELAY: Final = 10
_PROMPT_ECHO_OFF: Final = 1
_PROMPT_ECHO_ON: Final = 2
_SILENT: Final = 0x8000
_DISALLOW_NULL_AUTHTOK: Final = 0x0001
# A stack of modules asks for a password once or twice.
_MOST_PROMPTS: Final = 16

_ANSWERS: Final = {
    0: Answer.YES,
    6: Answer.DENIED,  # PERM_DENIED
    7: Answer.WRONG,  # AUTH_ERR
    8: Answer.WRONG,  # CRED_INSUFFICIENT
    10: Answer.UNKNOWN,  # USER_UNKNOWN
    11: Answer.LOCKED,  # MAXTRIES
    12: Answer.PASSWORD_EXPIRED,  # NEW_AUTHTOK_REQD
    13: Answer.EXPIRED,  # ACCT_EXPIRED
    27: Answer.PASSWORD_EXPIRED,  # AUTHTOK_EXPIRED
}


class _Message(Structure):
    _fields_ = [("msg_style", c_int), ("msg", c_char_p)]


class _Response(Structure):
    # A pointer to what free(3) takes, so no c_char_p, which Python would own.
    _fields_ = [("resp", c_void_p), ("resp_retcode", c_int)]


_Converse = CFUNCTYPE(c_int, c_int, POINTER(POINTER(_Message)), POINTER(POINTER(_Response)), c_void_p)
_Delay = CFUNCTYPE(None, c_int, c_uint, c_void_p)


class _Conversation(Structure):
    _fields_ = [("conv", _Converse), ("appdata_ptr", c_void_p)]


def _load() -> tuple[Any, Any]:
    libpam, libc = ctypes.CDLL("libpam.so.0"), ctypes.CDLL(None)
    libc.calloc.restype, libc.calloc.argtypes = c_void_p, [c_size_t, c_size_t]
    libc.strdup.restype, libc.strdup.argtypes = c_void_p, [c_char_p]
    libpam.pam_start.argtypes = [c_char_p, c_char_p, POINTER(_Conversation), POINTER(c_void_p)]
    libpam.pam_set_item.argtypes = [c_void_p, c_int, c_void_p]
    for name in ("pam_authenticate", "pam_acct_mgmt", "pam_end"):
        getattr(libpam, name).argtypes = [c_void_p, c_int]
    return libpam, libc


def ask(service: str, user: str, password: str | None, address: str) -> Answer:
    """
    Ask the PAM *service* whether *user*, who comes from *address*, may log in, and has *password* where one is given.

    Raises: OSError, there is no libpam; ValueError, a text holds NUL.
    """
    libpam, libc = _load()
    secret = None if password is None else _bytes(password)
    prompts = 0

    def converse(count: int, messages: Any, responses: Any, _: object) -> int:
        nonlocal prompts
        prompts += count
        if secret is None or prompts > _MOST_PROMPTS:
            return CONV_ERR
        array = libc.calloc(count, ctypes.sizeof(_Response))
        if not array:
            return BUF_ERR
        # PAM frees them, and what they point to.
        answers = ctypes.cast(array, POINTER(_Response))
        for number in range(count):
            style = messages[number].contents.msg_style
            if style == _PROMPT_ECHO_OFF:
                answers[number].resp = libc.strdup(secret)
            elif style == _PROMPT_ECHO_ON:
                # A question that is not for a password: nobody is there to answer.
                answers[number].resp = libc.strdup(b"")
        responses[0] = answers
        return SUCCESS

    conversation = _Conversation(_Converse(converse), None)
    # Without one of ours libpam sleeps for some seconds after a failure. The daemon has a delay of its own, that grows,
    # and is the same for names that PAM does not know.
    no_delay = _Delay(lambda *_: None)
    handle = c_void_p()
    if libpam.pam_start(_bytes(service), _bytes(user), byref(conversation), byref(handle)) != SUCCESS:
        return Answer.UNAVAILABLE
    status = SUCCESS
    try:
        libpam.pam_set_item(handle, _FAIL_DELAY, ctypes.cast(no_delay, c_void_p))
        libpam.pam_set_item(handle, _RHOST, ctypes.cast(c_char_p(_bytes(address)), c_void_p))
        if secret is not None:
            status = libpam.pam_authenticate(handle, _SILENT | _DISALLOW_NULL_AUTHTOK)
        if status == SUCCESS:
            status = libpam.pam_acct_mgmt(handle, _SILENT | _DISALLOW_NULL_AUTHTOK)
            if status in (7, 8):
                # "Not allowed" from a module that asks for no password.
                return Answer.DENIED
        return _ANSWERS.get(status, Answer.UNAVAILABLE)
    finally:
        libpam.pam_end(handle, status)


def _bytes(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise ValueError("a text for PAM holds no NUL")
    return data
