"""Who is asking: an edge token, a login, a token source, or the caller's own HTTP session.

No object here shows its secret in a repr, and none can be pickled.

Source: protocol 1.2.
"""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from intdash_frames.errors import RemoteProtocolError, UsageError
from intdash_frames.protocol.call import Request
from intdash_frames.protocol.endpoints import AUTHN
from intdash_frames.transport.seam import Credentials, Response

__all__ = [
    "EdgeToken",
    "PasswordLogin",
    "SessionCredentials",
    "SourcedToken",
    "StaticTokenSource",
    "TokenSource",
    "credentials_from",
]

Send = Callable[[Request], Response]

HIDDEN: Final = "***"


class TokenSource(abc.ABC):
    """Gives the token of the moment, so that one that runs out can be renewed."""

    @abc.abstractmethod
    def token(self) -> str:
        """The token to send as ``Authorization: Bearer``."""


class StaticTokenSource(TokenSource):
    """Always the same token."""

    def __init__(self, token: str) -> None:
        self._token = checked_secret("token", token)

    def __repr__(self) -> str:
        return f"StaticTokenSource({HIDDEN})"

    def token(self) -> str:
        """The token it was made with."""
        return self._token


def checked_secret(name: str, secret: Any) -> str:
    """Check that a secret can stand in a header; the error does not show it.

    Raises
    ------
    UsageError
        If it is no text, empty, or holds spaces or characters outside ASCII.
    """
    if not isinstance(secret, str):
        raise UsageError(f"{name} is {type(secret).__name__}, expected text")
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise UsageError(f"{name} is empty or holds spaces, line ends or characters outside ASCII; check how it was copied")
    return secret


class _Unpicklable:
    """A secret must not travel with a pickle, where anybody could read it."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds a secret and is not pickled")


class EdgeToken(_Unpicklable):
    """The token of an edge, in ``X-Edge-Token``."""

    def __init__(self, token: str) -> None:
        self._token = checked_secret("edge_token", token)

    def __repr__(self) -> str:
        return f"EdgeToken({HIDDEN})"

    def headers(self, send: Send) -> Mapping[str, str]:
        """The same header each time."""
        return {"X-Edge-Token": self._token}

    def renew(self, used: Mapping[str, str]) -> bool:
        """There is no other token."""
        return False

    def redact(self, text: str) -> str:
        """Take the token out of a text."""
        return text.replace(self._token, HIDDEN)


class PasswordLogin(_Unpicklable):
    """Logs in at the first request for a JWT, and once more when the server no longer takes it."""

    def __init__(self, username: str, password: str) -> None:
        for name, value in (("username", username), ("password", password)):
            if not isinstance(value, str) or not value:
                raise UsageError(f"{name}= is {type(value).__name__ if value is None or value else 'empty'}, expected text")
        self._username, self._password = username, password
        self._jwt: str | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"PasswordLogin({self._username!r}, {HIDDEN})"

    def headers(self, send: Send) -> Mapping[str, str]:
        """Log in if there is no JWT.

        Raises
        ------
        Unauthorized
            If the server does not know the user or the password.
        """
        with self._lock:
            if self._jwt is None:
                self._jwt = self._log_in(send)
            return {"Authorization": f"Bearer {self._jwt}"}

    def _log_in(self, send: Send) -> str:
        response = send(AUTHN.request(username=self._username, password=self._password))
        answer = AUTHN.parse(response.status, response.body)
        token = answer.get("token") if isinstance(answer, Mapping) else None
        try:
            return checked_secret("token", token)
        except UsageError as exc:
            raise RemoteProtocolError(f"{AUTHN.method} {AUTHN.path} answered without a usable token") from exc

    def renew(self, used: Mapping[str, str]) -> bool:
        """Forget the JWT, unless another thread has a newer one already."""
        with self._lock:
            if used.get("Authorization") == f"Bearer {self._jwt}":
                self._jwt = None
        return True

    def redact(self, text: str) -> str:
        """Take password and JWT out of a text."""
        for secret in (self._password, self._jwt):
            text = text.replace(secret, HIDDEN) if secret else text
        return text


class SourcedToken(_Unpicklable):
    """Asks a token source for every request; what it gives goes into ``Authorization: Bearer``."""

    def __init__(self, source: TokenSource) -> None:
        if not callable(getattr(source, "token", None)):
            raise UsageError(f"token_source= is {type(source).__name__}, expected an object with a method token() -> str")
        self._source = source
        self._last = ""

    def __repr__(self) -> str:
        return f"SourcedToken({type(self._source).__name__})"

    def headers(self, send: Send) -> Mapping[str, str]:
        """The token of the moment."""
        self._last = checked_secret("token_source.token()", self._source.token())
        return {"Authorization": f"Bearer {self._last}"}

    def renew(self, used: Mapping[str, str]) -> bool:
        """The source may know a newer token than the one refused."""
        return True

    def redact(self, text: str) -> str:
        """Take the last token out of a text."""
        return text.replace(self._last, HIDDEN) if self._last else text


class SessionCredentials(_Unpicklable):
    """The caller's own HTTP session adds what is needed."""

    def __repr__(self) -> str:
        return "SessionCredentials()"

    def headers(self, send: Send) -> Mapping[str, str]:
        """Nothing of our own."""
        return {}

    def renew(self, used: Mapping[str, str]) -> bool:
        """Only the session could."""
        return False

    def redact(self, text: str) -> str:
        """Nothing is known that could be taken out."""
        return text


def credentials_from(
    *,
    edge_token: str | None = None,
    username: str | None = None,
    password: str | None = None,
    token_source: TokenSource | None = None,
    session: object | None = None,
) -> Credentials:
    """Choose the credentials that were given.

    Raises
    ------
    UsageError
        If none were given, or more than one kind; a session may go with one of the others.
    """
    login = username is not None or password is not None
    given = {"edge_token=": edge_token is not None, "username= and password=": login, "token_source=": token_source is not None}
    names = [name for name, is_given in given.items() if is_given]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} were given together; give one of them")
    if edge_token is not None:
        return EdgeToken(edge_token)
    if login:
        if username is None or password is None:
            raise UsageError(
                f"{'password' if password is None else 'username'}= is missing; a login needs username= and password="
            )
        return PasswordLogin(username, password)
    if token_source is not None:
        return SourcedToken(token_source)
    if session is not None:
        return SessionCredentials()
    raise UsageError(
        "no credentials; give edge_token=, username= and password=, token_source= or session=, or set INTDASH_EDGE_TOKEN"
    )
