"""A connection: where the server is, who is asking, and how calls are made. What users hold is made of this."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import os
import pickle
import re
import threading
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from intdash_frames import timebase
from intdash_frames.client.basetimes import MeasurementBasetimes
from intdash_frames.client.captures import Captures
from intdash_frames.client.credentials import StaticTokenSource, TokenSource, credentials_from
from intdash_frames.client.data_points import DataPoints
from intdash_frames.client.edges import Edges
from intdash_frames.client.markers import MeasurementMarkers
from intdash_frames.client.measurements import Measurements
from intdash_frames.client.signals import Signals
from intdash_frames.client.units import Units
from intdash_frames.errors import ApiError, IntdashError, NotFound, UsageError
from intdash_frames.protocol.call import Endpoint
from intdash_frames.protocol.endpoints import VERSION
from intdash_frames.protocol.paging import PageWalk
from intdash_frames.transport.over_http import HttpTransport
from intdash_frames.transport.seam import Credentials, Transport

if TYPE_CHECKING:
    import requests

__all__ = ["MINIMUM_VERSION", "Connection", "version_number"]

URL_VARIABLE: Final = "INTDASH_URL"
TOKEN_VARIABLE: Final = "INTDASH_EDGE_TOKEN"
# Source: protocol 1.2.
MINIMUM_VERSION: Final = (1, 9, 0)


def version_number(text: object) -> tuple[int, int, int] | None:
    """Read the number of a version leniently.

    Examples
    --------
    >>> version_number("v2.3.0-next-946b424de"), version_number("1.17"), version_number("next")
    ((2, 3, 0), (1, 17, 0), None)
    """
    match = re.match(r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?", text, re.ASCII) if isinstance(text, str) else None
    if match is None:
        return None
    major, minor, patch = (int(part or 0) for part in match.groups())
    return major, minor, patch


class Connection:
    """A connection to one server.

    Parameters
    ----------
    url : str, optional
        ``http(s)://host[:port][/prefix]``; the environment variable INTDASH_URL if not given.
    edge_token : str, optional
        The token of an edge; INTDASH_EDGE_TOKEN if no other credentials are given.
    username, password : str, optional
        Log in for a JWT at the first call, and again when it has run out.
    token_source : TokenSource, optional
        An object with a method ``token() -> str``, asked for every request.
    session : requests.Session, optional
        The caller's own session: its adapters, and its own credentials unless others are given.
    verify : bool or str
        Whether to check certificates, or a file of certificates to trust.
    timeout : float or tuple of float
        To connect, and between two bytes of an answer [s].
    retries : int
        Tries after the first, for calls that may be repeated.
    max_workers : int
        Requests at once, at most. A read makes one at a time so far.
    tz : str or tzinfo
        The zone of results.
    transport : Transport, optional
        What is asked instead of a server at `url`; no credentials are needed then.

    Raises
    ------
    UsageError
        If an argument cannot work; nothing was sent.

    Notes
    -----
    Nothing is sent before the first call. A pickle carries no credentials: where it is read they come from INTDASH_EDGE_TOKEN,
    or from a token source that travels with it. A transport that was given is pickled itself.
    """

    def __init__(
        self,
        url: str | None = None,
        edge_token: str | None = None,
        *,
        username: str | None = None,
        password: str | None = None,
        token_source: TokenSource | None = None,
        session: requests.Session | None = None,
        verify: bool | str = True,
        timeout: float | tuple[float, float] = (5, 60),
        retries: int = 5,
        max_workers: int = 4,
        tz: str | dt.tzinfo = "UTC",
        transport: Transport | None = None,
    ) -> None:
        if not isinstance(verify, (bool, str)):
            raise UsageError(f"verify={verify!r}; expected True, False or the path of a file of certificates")
        self.retries = _whole("retries", retries, least=0)
        self.max_workers = _whole("max_workers", max_workers, least=1)
        self.tz = timebase.zone(tz)
        self.timeout = _timeout(timeout)
        self.verify = verify
        self._given = transport
        self.transport: Transport = transport or HttpTransport(
            _url(url),
            credentials=_credentials(
                edge_token=edge_token,
                username=username,
                password=password,
                token_source=token_source,
                session=session,
            ),
            verify=verify,
            timeout=self.timeout,
            retries=self.retries,
            session=session,
        )
        self._travelling: TokenSource | None = None
        self._version: str | None = None
        self._probed = False
        self._lock = threading.Lock()
        self._add_resources()

    def _add_resources(self) -> None:
        self.edges = Edges(self)
        self.measurements = Measurements(self)
        self.measurement_basetimes = MeasurementBasetimes(self)
        self.measurement_markers = MeasurementMarkers(self)
        self.signals = Signals(self)
        self.captures = Captures(self)
        self.units = Units(self)
        self.data_points = DataPoints(self)

    @property
    def url(self) -> str:
        """Base URL, without a trailing slash."""
        return self.transport.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_pickle, (type(self), self._settings, self._travelling)

    @property
    def _settings(self) -> dict[str, Any]:
        settings = {name: getattr(self, name) for name in ("url", "verify", "timeout", "retries", "max_workers", "tz")}
        return settings if self._given is None else {**settings, "transport": self._given}

    def travelling(self, token_source: TokenSource) -> Connection:
        """Give a connection with the same settings, whose pickle carries a token source instead of needing INTDASH_EDGE_TOKEN.

        Raises
        ------
        UsageError
            If the source cannot be pickled, or would take its token with it.
        """
        if isinstance(token_source, StaticTokenSource):
            raise UsageError(
                "token_source= is a StaticTokenSource, whose token would stand in every pickle; set INTDASH_EDGE_TOKEN where the "
                "pickle is read, or give a source that gets its token there"
            )
        try:
            pickle.dumps(token_source)
        except (pickle.PicklingError, TypeError, AttributeError) as exc:
            raise UsageError(f"token_source= is {type(token_source).__name__}, which cannot be pickled: {exc}") from exc
        return _from_pickle(type(self), self._settings, token_source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections to the server."""
        self.transport.close()

    def apart(self) -> Self:
        """Give the same connection over sockets of its own, which ``transport.cut()`` ends while somebody waits for them."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.transport, twin._lock = self.transport.apart(), threading.Lock()
        twin._add_resources()
        return twin

    def call(self, endpoint: Endpoint, *, body: bytes | None = None, **arguments: Any) -> Any:
        """Make a call and read its answer.

        Parameters
        ----------
        endpoint : Endpoint
            A row of the table of calls.
        body : bytes, optional
            For a call whose body is not JSON.
        **arguments
            By the names of the row; moments and durations in nanoseconds.

        Raises
        ------
        UsageError
            If an argument cannot work; nothing was sent.
        ApiError
            If the server says no.
        TransportError
            If the server cannot be reached.
        RemoteProtocolError
            If the answer is not what the row says.
        """
        request = endpoint.request(body=body, **arguments)
        try:
            response = self.transport.send(request)
        except ApiError as exc:
            if exc.status in (404, 405) and endpoint.newer is not None:
                return self._call_newer(endpoint.newer, arguments, exc)
            raise self._explained(endpoint, exc) from exc.__cause__
        self._probe_version()
        return endpoint.parse(response.status, response.body)

    def walk(self, endpoint: Endpoint, **arguments: Any) -> Iterator[list[Any]]:
        """Make a call whose answer is a list, and follow it page by page.

        Yields
        ------
        list
            The records of each page; the last may be empty.
        """
        # not a generator itself, so that arguments that cannot work are refused here and not at the first step
        return self._pages(endpoint, PageWalk(endpoint.request(**arguments), base_url=self.url))

    def _pages(self, endpoint: Endpoint, walk: PageWalk) -> Iterator[list[Any]]:
        while walk.request is not None:
            try:
                response = self.transport.send(walk.request)
            except NotFound as exc:
                raise self._explained(endpoint, exc) from exc.__cause__
            self._probe_version()
            answer = endpoint.read_json(response.status, response.body)
            yield endpoint.items(answer)
            walk.receive(answer)

    def _call_newer(self, endpoint: Endpoint, arguments: dict[str, Any], refused: ApiError) -> Any:
        try:
            return self.call(endpoint, **arguments)
        except NotFound:
            raise refused from None

    @property
    def version(self) -> str | None:
        """The server's version as it says it, asked for once; None if it does not say."""
        self._probe_version()
        return self._version

    def _probe_version(self) -> None:
        """Ask once, and only warn: an unknown server may work (protocol 1.2).

        Runs after the first call that succeeded, so that a server that cannot be reached is reported by the call itself.
        """
        with self._lock:
            if self._probed:
                return
            self._probed = True
        try:
            response = self.transport.send(dataclasses.replace(VERSION.request(), idempotent=False), credentials=False)
            answer = VERSION.parse(response.status, response.body)
            self._version = answer.get("version") if isinstance(answer, dict) else None
        except IntdashError as exc:
            warnings.warn(f"{self.url} does not say its version: {exc}", stacklevel=4)
            return
        number = version_number(self._version)
        if number is None or number < MINIMUM_VERSION:
            supported = ".".join(map(str, MINIMUM_VERSION))
            warnings.warn(f"{self.url} is version {self._version!r}; supported are {supported} and later", stacklevel=4)

    def _explained(self, endpoint: Endpoint, exc: ApiError) -> ApiError:
        """A 404 of a call that came with a later version than the server's is no missing resource."""
        if exc.status != 404 or endpoint.since <= MINIMUM_VERSION:
            return exc
        number = version_number(self.version)
        if number is None or number >= endpoint.since:
            return exc
        needs = ".".join(map(str, endpoint.since))
        return ApiError(404, exc.endpoint, f"not supported by this server: it is {self.version}, this call came with {needs}")


def _from_pickle(cls: type[Connection], settings: dict[str, Any], token_source: TokenSource | None = None) -> Connection:
    if token_source is not None:
        connection = cls(**settings, token_source=token_source)
        connection._travelling = token_source
        return connection
    if "transport" not in settings and TOKEN_VARIABLE not in os.environ:
        raise UsageError(f"a pickled connection carries no credentials; set {TOKEN_VARIABLE} where it is read")
    return cls(**settings)


def _url(url: str | None) -> str:
    url = os.environ.get(URL_VARIABLE) if url is None else url
    if url is None:
        raise UsageError(f"no url; give url='https://example.intdash.jp' or set {URL_VARIABLE}")
    return url


def _credentials(*, edge_token: str | None, **others: Any) -> Credentials:
    if edge_token is None and all(each is None for each in others.values()):
        edge_token = os.environ.get(TOKEN_VARIABLE)
    return credentials_from(edge_token=edge_token, **others)


def _whole(name: str, value: Any, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name}={value!r}; expected a whole number, {least} or more")
    return value


def _timeout(value: Any) -> tuple[float, float]:
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) == 2 and all(
        isinstance(each, (int, float)) and not isinstance(each, bool) and each > 0 and math.isfinite(each) for each in pair
    ):
        return float(pair[0]), float(pair[1])
    raise UsageError(f"timeout={value!r}; expected seconds above 0 to connect and to read, for example (5, 60)")
