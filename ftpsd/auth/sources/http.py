"""
Users of an HTTPS endpoint.

Two questions, each a POST with a JSON object as its body:

* `{"question": "user", "user": …, "host": …}`: 200 with the user as a JSON object with the keys of users.yaml, or 404.
* `{"question": "password", "user": …, "password": …, "address": …, "host": …, "protocol": "ftps"}`: 200 and a JSON
  object (whatever is in it) when the password is right, 401 or 403 when it is not, 404 when the user is gone.

Everything else is no answer: other statuses, redirects, which are never followed, encoded bodies, bodies above 64 KiB,
and what is no JSON (outward/posting.py). Addresses are checked where the connection is made.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from ftpsd import __version__
from ftpsd.auth.credentials import Login
from ftpsd.auth.sources.remote import Found, Nonsense, Server, Silence
from ftpsd.config.sources.source_files import SourceFiles
from ftpsd.config.sources.source_sections import HTTP
from ftpsd.config.users import UserRecord
from ftpsd.outward.connecting import Connector, verifying
from ftpsd.outward.posting import BadAnswer, NoAnswer, Poster, may_reach
from ftpsd.workers import Workers


class HTTPSource:
    """The endpoint of *section*; *files* are those it names, *names* looks names up."""

    name = "http"

    def __init__(self, section: HTTP, files: SourceFiles, reactor: Any, names: Workers) -> None:
        # Behind a ? there may be a key.
        self._server = Server(self.name, section.url.url.partition("?")[0], reactor, section.timeout)
        may = may_reach(section.networks, allow_private=section.allow_private)
        identity = (files.http_certificate, files.http_private_key)
        tls = verifying(section.url.host, files.http_authority, *identity)
        url = section.url
        self._poster = Poster(Connector(reactor, names, section.timeout, may), tls, url.url, url.host, url.port)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self._headers["User-Agent"] = f"ftpsd/{__version__}"
        if files.token:
            self._headers["Authorization"] = f"Bearer {files.token}"

    def find(self, name: str, host: str) -> Deferred[Found | None]:
        """Ask for the user."""

        async def ask() -> Found | None:
            status, answer = await self._post({"question": "user", "user": name, "host": host})
            if status == 404:
                return None
            if status != 200:
                raise Nonsense(f"it answered {status} when asked for a user; 200 and 404 are expected")
            return Found(answer)

        return self._server.ask(ask)

    def verify(self, user: UserRecord, login: Login, password: str, host: str) -> Deferred[bool]:
        """Ask whether the password is right."""
        question = {
            "question": "password",
            "user": user.name,
            "password": password,
            "address": login.peer,
            "host": host,
            "protocol": "ftps",
        }

        async def ask() -> bool:
            status, _ = await self._post(question)
            if status not in (200, 401, 403, 404):
                raise Nonsense(f"it answered {status} when asked about a password; 200, 401, 403 and 404 are expected")
            return status == 200

        return self._server.ask(ask)

    async def _post(self, question: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Return the status, and the JSON object of an answer with status 200."""
        try:
            status, data = await self._poster.post(json.dumps(question).encode("ascii"), self._headers)
        except NoAnswer as error:
            raise Silence(str(error)) from None
        except BadAnswer as error:
            raise Nonsense(str(error)) from None
        return status, _object(data) if status == 200 else {}


def _object(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        raise Nonsense("its answer is not JSON") from None
    if not isinstance(answer, dict):
        raise Nonsense("its answer is not a JSON object")
    return answer
