"""pyftpdlib's FTPS server, as its documentation starts it: HOST PORT FIRST LAST CERTIFICATE USER PASSWORD HOME."""

import logging
import sys

from pyftpdlib.authorizers import DummyAuthorizer  # type: ignore[import-untyped]
from pyftpdlib.handlers import TLS_FTPHandler  # type: ignore[import-untyped]
from pyftpdlib.servers import FTPServer  # type: ignore[import-untyped]


def main(host: str, port: str, first: str, last: str, certificate: str, user: str, password: str, home: str) -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.ERROR)
    authorizer = DummyAuthorizer()
    authorizer.add_user(user, password, home, perm="elradfmwMT")

    class Handler(TLS_FTPHandler):  # type: ignore[misc]
        certfile = certificate
        tls_control_required = True
        tls_data_required = True
        passive_ports = range(int(first), int(last) + 1)

    Handler.authorizer = authorizer
    FTPServer.max_cons = 0
    FTPServer((host, int(port)), Handler, backlog=1024).serve_forever(handle_exit=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
