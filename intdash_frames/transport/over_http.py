"""HTTP on `requests`: pooled connections, time-outs, retries, and errors of our own tree.

Source: protocol 1.1 to 1.3.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import email.utils
import importlib.metadata
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import requests.adapters
import urllib3.exceptions

from intdash_frames.errors import (
    ApiError,
    ConnectFailed,
    ConnectionLost,
    IntdashError,
    NotFound,
    RateLimited,
    RemoteProtocolError,
    TimedOut,
    TransportError,
    Unauthorized,
    UsageError,
)
from intdash_frames.protocol.call import Request
from intdash_frames.transport.cutting import Cuttable
from intdash_frames.transport.retry import RetryPolicy
from intdash_frames.transport.seam import Credentials, Response

__all__ = [
    "STATUS_ERRORS",
    "USER_AGENT",
    "HttpStream",
    "HttpTransport",
    "api_error",
    "checked_url",
    "error_detail",
    "origin_of",
    "read_retry_after",
    "shown_url",
]

logger = logging.getLogger("intdash_frames.transport")

USER_AGENT: Final = f"intdash-frames/{importlib.metadata.version('intdash-frames')}"

# Any other status from 300 up is an ApiError.
STATUS_ERRORS: Final[Mapping[int, type[ApiError]]] = {401: Unauthorized, 403: Unauthorized, 404: NotFound, 429: RateLimited}

# The first row that fits; what requests wraps around urllib3's errors is taken off before.
FOREIGN_ERRORS: Final[tuple[tuple[type[BaseException], type[IntdashError], str], ...]] = (
    (urllib3.exceptions.NewConnectionError, ConnectFailed, "no connection; check url= and that the server runs"),
    (urllib3.exceptions.ConnectTimeoutError, ConnectFailed, "no connection in time; check url= or raise timeout=(connect, read)"),
    (urllib3.exceptions.ProxyError, ConnectFailed, "no connection through the proxy"),
    (urllib3.exceptions.ReadTimeoutError, TimedOut, "no answer in time; raise timeout=(connect, read)"),
    (urllib3.exceptions.SSLError, TransportError, "TLS failed; verify= takes a file of certificates to trust"),
    (urllib3.exceptions.DecodeError, RemoteProtocolError, "the compressed body cannot be unpacked"),
    (urllib3.exceptions.ProtocolError, ConnectionLost, "the connection ended before the answer did"),
    # what an adapter of the caller's own session may raise without anything inside
    (requests.exceptions.SSLError, TransportError, "TLS failed; verify= takes a file of certificates to trust"),
    (requests.exceptions.ConnectTimeout, ConnectFailed, "no connection in time; check url= or raise timeout=(connect, read)"),
    (requests.exceptions.Timeout, TimedOut, "no answer in time; raise timeout=(connect, read)"),
    (requests.exceptions.ConnectionError, ConnectionLost, "the connection ended before the answer did"),
    (ValueError, UsageError, "the request cannot be sent"),
    (requests.exceptions.RequestException, TransportError, "the request failed"),
    (TimeoutError, TimedOut, "no answer in time; raise timeout=(connect, read)"),
    (OSError, ConnectionLost, "the connection ended before the answer did"),
    (Exception, TransportError, "the request failed"),
)
FOREIGN: Final = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError)

MOST_REDIRECTS: Final = 5
# Enough for any message of an error, whatever else the body holds [bytes].
LONGEST_ERROR_BODY: Final = 64 * 1024
LONGEST_DETAIL: Final = 200

T = TypeVar("T")


def checked_url(url: Any) -> str:
    """Check a base URL and strip its trailing slashes.

    Raises
    ------
    UsageError
        If nothing can be reached under it.
    """
    expected = "expected http(s)://host[:port][/prefix], for example 'https://example.intdash.jp'"
    if not isinstance(url, str) or not url:
        raise UsageError(f"url={url!r}; {expected}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port that is no number raises here
    except ValueError as exc:
        raise UsageError(f"url= is malformed ({exc}); {expected}") from exc
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"url= holds a user name or password; leave them out and give username= and password=; {expected}")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or any(map(str.isspace, url)):
        raise UsageError(f"url={url!r}; {expected}")
    return url.rstrip("/")


def origin_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _no_auth(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Given no auth, requests would put a password of ``~/.netrc`` into the Authorization header."""
    return prepared


class HttpStream:
    """The body of an answer in pieces."""

    def __init__(self, response: requests.Response, reworded: Callable[[BaseException], IntdashError], retries: int) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.retries = retries
        self._response = response
        self._reworded = reworded
        self._seen = 0

    def read(self, size: int) -> bytes:
        """Give the next bytes, `size` of them unless the body ends first; ``b""`` at the end.

        Raises
        ------
        ConnectionLost
            If the connection ended before Content-Length, or before the last chunk.
        TimedOut
            If no byte came within the read time-out.
        """
        try:
            # As fast as http.client's own file object (2 GB/s over loopback in pieces of 1 MiB), while `iter_content` and
            # `Response.content` cut the body into small pieces; counts the bytes against Content-Length and unpacks gzip.
            data: bytes = self._response.raw.read(size, decode_content=True)
            self._seen += len(data)
            if not self._seen:
                _check_head(self._response)
        except FOREIGN as exc:
            raise self._reworded(exc) from exc
        return data


class HttpTransport:
    """Sends requests to one server.

    Parameters
    ----------
    url : str
        Base URL; every path is appended to it.
    credentials : Credentials
        Asked anew for every request, so no table of headers is shared. They go to the origin of `url` only.
    verify : bool or str
        Whether to check certificates, or a file of certificates to trust.
    timeout : tuple of float
        To connect, and between two bytes of an answer [s].
    retries : int or RetryPolicy
        Tries after the first, for requests that may be repeated.
    session : requests.Session, optional
        Used as it is and not closed.
    """

    def __init__(
        self,
        url: str,
        *,
        credentials: Credentials,
        verify: bool | str = True,
        timeout: tuple[float, float] = (5, 60),
        retries: int | RetryPolicy = 5,
        session: requests.Session | None = None,
    ) -> None:
        self.url = checked_url(url)
        self.policy = RetryPolicy(retries) if isinstance(retries, int) else retries
        self._credentials = credentials
        self._verify, self._timeout = verify, timeout
        self._owns_session = session is None
        self._session = _pooled_session() if session is None else session
        self._cuttable: Cuttable | None = None

    def __repr__(self) -> str:
        return f"HttpTransport({self.url!r})"

    def send(self, request: Request, *, credentials: bool = True) -> Response:
        """Send a request and read the whole answer.

        Raises
        ------
        ApiError
            If the status is not 2xx: `Unauthorized` 401 and 403, `NotFound` 404, `RateLimited` 429, `ApiError` any other.
        TransportError
            `ConnectFailed`, `TimedOut` or `ConnectionLost`, after the retries.
        """
        tries = 0

        def one_try() -> Response:
            nonlocal tries
            tries += 1
            try:
                response = self._open(request, credentials=credentials)
            except NotFound:
                # the answer to the first try was lost, but the first try did its work
                if request.method == "DELETE" and tries > 1:
                    return Response(204, {}, b"", tries - 1)
                raise
            with contextlib.closing(response):
                try:
                    body = response.raw.read(decode_content=True)
                    if not body:
                        _check_head(response)
                except FOREIGN as exc:
                    raise self._reworded(request, exc) from exc
            return Response(response.status_code, response.headers, body, tries - 1)

        return self._retried(request, one_try)

    @contextlib.contextmanager
    def stream(self, request: Request) -> Iterator[HttpStream]:
        """Send a request and give its body in pieces; opening is retried as in `send`, a cut body is not."""
        tries = 0

        def one_try() -> requests.Response:
            nonlocal tries
            tries += 1
            return self._open(request, credentials=True)

        # closing an answer that was not read to its end closes the connection, so nothing is left in the pool
        with contextlib.closing(self._retried(request, one_try)) as response:
            yield HttpStream(response, lambda exc: self._reworded(request, exc), tries - 1)

    def credential_headers(self) -> dict[str, str]:
        """The headers that say who is asking, for a connection that is not made here."""
        return dict(self._credentials.headers(self._send_bare))

    def renew_credentials(self, used: Mapping[str, str]) -> bool:
        """Hear that such a connection was refused with these headers (401); True if other ones may do better."""
        return self._credentials.renew(used)

    def redact(self, text: str) -> str:
        """Take every secret out of a text."""
        return self._credentials.redact(text)

    def apart(self) -> HttpTransport:
        """Give the same transport with connections of its own, which `cut` ends; a session of the caller stays the one it is."""
        twin, cuttable = copy.copy(self), Cuttable(max_retries=0)
        twin.policy = dataclasses.replace(self.policy, sleep=cuttable.sleep)
        twin._cuttable = cuttable
        if self._owns_session:
            twin._session = _pooled_session(cuttable)
        return twin

    def cut(self) -> None:
        """Let everything fail at once that waits here, from any thread; of a transport that was made by `apart`."""
        assert self._cuttable is not None
        self._cuttable.cut()

    def close(self) -> None:
        """Close all connections."""
        if self._owns_session:
            self._session.close()

    def _send_bare(self, request: Request) -> Response:
        return self.send(request, credentials=False)

    def _send_bare_once(self, request: Request) -> Response:
        """For a login on the way of a request that is retried itself: tries would multiply."""
        return self.send(dataclasses.replace(request, idempotent=False), credentials=False)

    def _retried(self, request: Request, one_try: Callable[[], T]) -> T:
        return self.policy.retrying()(one_try) if request.idempotent else one_try()

    def _open(self, request: Request, *, credentials: bool) -> requests.Response:
        """Send once, a second time with renewed credentials after a 401; the body of the answer is still to be read."""
        login = self._send_bare_once if request.idempotent else self._send_bare
        used = dict(self._credentials.headers(login)) if credentials else {}
        response = self._follow(request, used)
        if response.status_code == 401 and credentials and self._credentials.renew(used):
            response.close()
            response = self._follow(request, dict(self._credentials.headers(login)))
        logger.debug("%s: %d", request.endpoint, response.status_code)
        if not 200 <= response.status_code < 300:
            with contextlib.closing(response):
                raise self._api_error(request, response)
        return response

    def _follow(self, request: Request, used: Mapping[str, str]) -> requests.Response:
        """Send along redirects; credentials do not leave the origin of the base URL."""
        url = self.url + request.target
        for _ in range(MOST_REDIRECTS + 1):
            at_home = origin_of(url) == origin_of(self.url)
            if not (at_home or self._owns_session):
                break  # what a session of the caller adds by itself cannot be held back
            response = self._send_once(request, url, used if at_home else {})
            # 301 to 303 turn other methods into GET by old custom, which would lose the body
            followed = (301, 302, 303, 307, 308) if request.method == "GET" else (307, 308)
            location = response.headers.get("Location")
            if response.status_code not in followed or not location:
                return response
            response.close()
            url = urljoin(url, location)
        raise TransportError(f"{request.endpoint} is redirected to {shown_url(url)}, which is not followed; check url=")

    def _send_once(self, request: Request, url: str, used: Mapping[str, str]) -> requests.Response:
        if self._cuttable is not None and self._cuttable.is_cut.is_set():
            raise ConnectionLost(f"{request.endpoint} at {self.url}: nobody waits for an answer any more")
        headers = {"User-Agent": USER_AGENT, "Accept": request.accept, **used}
        if request.content_type is not None:
            headers["Content-Type"] = request.content_type
        try:
            return self._session.request(
                request.method,
                url,
                data=request.body,
                headers=headers,
                timeout=self._timeout,
                verify=self._verify if self._owns_session or self._verify is not True else None,
                auth=_no_auth if self._owns_session else None,
                stream=True,
                allow_redirects=False,
            )
        except FOREIGN as exc:
            raise self._reworded(request, exc) from exc

    def _reworded(self, request: Request, exc: BaseException) -> IntdashError:
        reason = _unwrapped(exc)
        ours, said = next((ours, said) for foreign, ours, said in FOREIGN_ERRORS if isinstance(reason, foreign))
        return ours(self._credentials.redact(f"{request.endpoint} at {self.url}: {said} ({reason})"))

    def _api_error(self, request: Request, response: requests.Response) -> ApiError:
        status = response.status_code
        try:
            detail = error_detail(response.raw.read(LONGEST_ERROR_BODY, decode_content=True))
        except FOREIGN as exc:
            detail = f"its message was lost ({type(exc).__name__})"
        if 300 <= status < 400:
            detail = f"redirected to {shown_url(urljoin(response.url, response.headers.get('Location', '')))}; check url="
        if status in (401, 403) and origin_of(response.url) != origin_of(self.url):
            detail += f" (redirected to {shown_url(response.url)}, where no credentials are sent; make the client with that url)"
        retry_after_s = read_retry_after(response.headers.get("Retry-After")) if status in (429, 503) else None
        return api_error(status, request.endpoint, self._credentials.redact(detail), retry_after_s=retry_after_s)


def api_error(status: int, endpoint: str, detail: str, *, retry_after_s: float | None = None) -> ApiError:
    """Make the error of a status."""
    return STATUS_ERRORS.get(status, ApiError)(status, endpoint, detail, retry_after_s=retry_after_s)


def _pooled_session(adapter: requests.adapters.HTTPAdapter | None = None) -> requests.Session:
    session = requests.Session()
    if adapter is None:
        # Retries are ours alone; the pool is as wide as any sensible max_workers, and a connection beyond it is used once.
        adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=32, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _check_head(response: requests.Response) -> None:
    """Tell an empty answer from one that ended inside its head, which http.client takes for complete.

    HTTP/1.1 announces a body that ends with the connection by ``Connection: close``; an empty answer that announces no length
    in any way has lost the rest of its head.
    """
    announced = any(name in response.headers for name in ("Content-Length", "Transfer-Encoding"))
    closes = "close" in response.headers.get("Connection", "").lower()
    if not (announced or closes) and response.status_code not in (204, 205) and response.raw.version == 11:
        raise ConnectionAbortedError("inside the head")


def shown_url(url: str) -> str:
    """A URL without query and user."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _unwrapped(exc: BaseException) -> BaseException:
    """The error of urllib3 or of the system that requests wrapped."""
    while True:
        inner = getattr(exc, "reason", None) if isinstance(exc, urllib3.exceptions.MaxRetryError) else None
        if isinstance(exc, requests.RequestException) and exc.args:
            inner = exc.args[0]
        if not isinstance(inner, BaseException):
            return exc
        exc = inner


def error_detail(body: bytes) -> str:
    """What an error body says, in one short line."""
    text = body.decode("utf-8", "replace")
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if isinstance(said, Mapping):
        texts = (said.get(key) for key in ("error_description", "message", "detail", "error"))
        text = next((each for each in texts if isinstance(each, str) and each), text)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_DETAIL else f"{text[: LONGEST_DETAIL - 3]}..."


def read_retry_after(value: str | None) -> float | None:
    """Read Retry-After: seconds, or a date [s]."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
