"""Every exception of the package.

::

    IntdashError
    ├── UsageError (ValueError)      an argument that cannot work; nothing was sent
    ├── ProtocolError
    │   ├── LocalProtocolError       our side broke a rule of the protocol
    │   └── RemoteProtocolError      the peer did: a cut or corrupt body, a length that lies
    ├── PayloadError (ValueError)    a payload does not fit the layout of its data type
    ├── TransportError
    │   ├── ConnectFailed            no connection could be made
    │   ├── TimedOut                 no answer in time
    │   └── ConnectionLost           the connection ended before the answer did
    │       └── ISCPConnClosedException  the connection of a stream is closed, by whichever side
    ├── ApiError                     the server said no
    │   ├── NotFound                 404
    │   ├── Unauthorized             401, 403
    │   ├── RateLimited              429
    │   └── ResultNGException        a request on a stream was answered with another result than OK
    ├── GapError                     data known to be missing
    │   └── IncompleteRead           .partial was read, .report says what is missing
    ├── IncompleteStore              .result says what was stored and what was not
    └── MissingDependency (ImportError)

A class answers "who must act?". Fields are arguments of ``__init__``; the text is made from them.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "ApiError",
    "ConnectFailed",
    "ConnectionLost",
    "GapError",
    "ISCPConnClosedException",
    "IncompleteRead",
    "IncompleteStore",
    "IntdashError",
    "LocalProtocolError",
    "MissingDependency",
    "NotFound",
    "PayloadError",
    "ProtocolError",
    "RateLimited",
    "RemoteProtocolError",
    "ResultNGException",
    "TimedOut",
    "TransportError",
    "Unauthorized",
    "UsageError",
]


class IntdashError(Exception):
    """The root of all errors that this package raises on purpose; all of them can be pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_pickle, (type(self), self.args, self.__dict__)


def _from_pickle(cls: type[IntdashError], arguments: tuple[Any, ...], fields: dict[str, Any]) -> IntdashError:
    """Make an error without its ``__init__``, which takes the parts of the text and not the text."""
    error = cls.__new__(cls, *arguments)
    error.__dict__.update(fields)
    return error


class UsageError(IntdashError, ValueError):
    """An argument that cannot work; raised before anything is sent."""


class ProtocolError(IntdashError):
    """A rule of the wire protocol was broken."""


class LocalProtocolError(ProtocolError):
    """This side was about to break a rule of the protocol, so nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The peer sent bytes that the protocol does not allow."""


class PayloadError(IntdashError, ValueError):
    """A payload, or the values for one, do not fit the layout of the data type.

    Parameters
    ----------
    data_type : str
        Name of the data type.
    reason : str
        What was seen and what was expected.
    data_id : str, optional
        The data id of the point or column.
    row : int, optional
        Position of the first offending row.
    """

    def __init__(self, data_type: str, reason: str, *, data_id: str | None = None, row: int | None = None) -> None:
        self.data_type, self.reason, self.data_id, self.row = data_type, reason, data_id, row
        where = "".join([f" {data_id!r}" if data_id is not None else "", f", row {row}" if row is not None else ""])
        super().__init__(f"{data_type}{where}: {reason}")


class TransportError(IntdashError):
    """The bytes did not get through."""


class ConnectFailed(TransportError):
    """No connection to the server could be made."""


class TimedOut(TransportError):
    """The server did not answer in time."""


class ConnectionLost(TransportError):
    """The connection ended before the answer did."""


class ISCPConnClosedException(ConnectionLost):
    """The connection of a stream is closed: nothing more can be opened on it, sent or received.

    Parameters
    ----------
    message : str
        Why, where it is known.
    """

    def __init__(self, message: str = "the connection is closed; connect anew") -> None:
        super().__init__(message)


class ApiError(IntdashError):
    """The server answered with an error status.

    Parameters
    ----------
    status : int
        HTTP status.
    endpoint : str
        Method and path of the call, without host and query.
    detail : str
        What the server said, shortened.
    retry_after_s : float, optional
        Seconds that the server asks to wait before the next try.
    """

    def __init__(self, status: int, endpoint: str, detail: str = "", *, retry_after_s: float | None = None) -> None:
        self.status, self.endpoint, self.detail, self.retry_after_s = status, endpoint, detail, retry_after_s
        super().__init__(f"{endpoint} answered {status}" + (f": {detail}" if detail else ""))


class NotFound(ApiError):
    """No such resource (404)."""


class Unauthorized(ApiError):
    """No credentials, wrong ones, or not enough rights (401, 403)."""


class RateLimited(ApiError):
    """Too many requests (429)."""


class ResultNGException(ApiError):
    """The server said no to a request on a stream.

    Parameters
    ----------
    request : object
        What was asked: the spec of the stream to open or close, or the filters.
    result_code : int
        What the server answered; 1 is NG.

    Notes
    -----
    `status` is that of the connection, 101: a request on a stream has none of its own.
    """

    def __init__(self, request: Any, result_code: int = 1) -> None:
        self.request, self.result_code = request, result_code
        asked = type(request).__name__
        super().__init__(101, asked, f"result code {result_code}, expected 0")
        self.args = (f"the server refused {asked} with result code {result_code}, expected 0 (OK): {request!r}",)


class GapError(IntdashError):
    """Data are known to be missing between two moments.

    Parameters
    ----------
    message : str
        What is missing.
    start_ns, end_ns : int, optional
        The hole, half open, in nanoseconds since the Unix epoch.
    """

    def __init__(self, message: str, *, start_ns: int | None = None, end_ns: int | None = None) -> None:
        self.start_ns, self.end_ns = start_ns, end_ns
        super().__init__(message)


class IncompleteRead(GapError):
    """A read that could not be finished.

    Parameters
    ----------
    message : str
        What is missing and why.
    partial : object
        What was read, in the form that the sink would have returned.
    report : object
        The report of the read.
    """

    def __init__(
        self, message: str, *, partial: Any, report: Any, start_ns: int | None = None, end_ns: int | None = None
    ) -> None:
        self.partial, self.report = partial, report
        super().__init__(message, start_ns=start_ns, end_ns=end_ns)


class IncompleteStore(IntdashError):
    """A store that could not be finished; ``result.failed`` lists what is not on the server.

    Parameters
    ----------
    message : str
        What failed and why.
    result : object
        The `StoreResult`, ready for ``resume=``.
    """

    def __init__(self, message: str, *, result: Any) -> None:
        self.result = result
        super().__init__(message)


class MissingDependency(IntdashError, ImportError):
    """An optional package is not installed.

    Parameters
    ----------
    package : str
        The package that is missing.
    extra : str
        The extra of this distribution that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"this needs {package}; install it with: pip install 'intdash-frames[{extra}]'")
