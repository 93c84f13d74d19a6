"""Runs the vendor's SDK on behalf of the interop tests. Only this file imports it, in an environment of its own.

One JSON object a line comes in, one goes out: `{"result": ...}` or `{"error": "TypeName: text"}`. Between the lines an event loop
runs, so that streams go on. The commands:

* `{"connect": {...}}` makes the client, with these arguments; it comes first
* `{"call": "measurements.create", "args": {...}}` calls that method of the client. With `"on": "name"` it is one of an object
  that was kept before, and with `"keep": "name"` the result is kept and not answered. What is to be awaited is awaited
* `{"call": "write", "on": "up", "each": [{...}, ...]}` calls a method once for each set of arguments and answers all results
* `{"gathered": "name", "count": 3}` waits until a callback was called so often and answers the arguments of all its calls
* `{"encode": ...}` answers what it got, read and written once
* `{"elements": "hex"}` reads a message of a stream and answers the elements that came before its end, each written anew, and the
  kind of exception that ended the reading

What JSON has no word for travels as an object with one marked key:

* `{"$time": ns}` a `pandas.Timestamp` in UTC, `{"$duration": ns}` a `pandas.Timedelta`, `{"$bytes": "hex"}`
* `{"$new": "DataPoint", ...}` or `{"$new": "data.Int", ...}` an object of the SDK, the other keys its arguments
* `{"$payload": {...}}` the payload bytes that the SDK makes of such an object
* `{"$gather": "name"}` a callback that keeps its arguments, `{"$iter": [...]}` an iterator

Answers use the same marks. A payload object is answered as its bytes with its type and id, any other object of the SDK as the
plain mapping of its attributes.
"""

import asyncio
import enum
import inspect
import io
import json
import operator
import sys
import warnings

warnings.simplefilter("ignore")

import intdash  # noqa: E402
import intdash.data  # noqa: E402
import pandas as pd  # noqa: E402
from intdash import _protocol  # noqa: E402

LONGEST_WAIT_S = 30


class Gathered:
    """A callback for both kinds of caller: one that awaits what it returns, and one that does not."""

    def __init__(self):
        self.calls = []
        self._more = asyncio.Event()

    def __call__(self, *arguments):
        self.calls.append(arguments)
        self._more.set()
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def wait(self, count):
        while len(self.calls) < count:
            self._more.clear()
            await self._more.wait()
        return list(self.calls)


class Driver:
    """Carries out commands on one client object."""

    def __init__(self):
        self.kept = {}
        self.callbacks = {}

    async def carry_out(self, command):
        """Give the result of a command, in the form of an answer."""
        kind = next(kind for kind in ("connect", "call", "gathered", "encode", "elements") if kind in command)
        return await getattr(self, kind)(**command)

    async def connect(self, connect):
        self.kept["client"] = intdash.Client(**connect)
        return {"api_version": self.kept["client"].api_version}

    async def call(self, call, args=None, each=None, on="client", keep=None):
        method = operator.attrgetter(call)(self.kept[on])
        if each is not None:
            return [to_json(await self._call(method, arguments)) for arguments in each]
        result = await self._call(method, args)
        if keep is None:
            return to_json(result)
        self.kept[keep] = result
        return None

    async def gathered(self, gathered, count):
        callback = self._callback(gathered)
        try:
            return to_json(await asyncio.wait_for(callback.wait(count), LONGEST_WAIT_S))
        except TimeoutError:
            seen = f"{gathered} was called {len(callback.calls)} times in {LONGEST_WAIT_S} s, expected {count}"
            raise TimeoutError(seen) from None

    async def encode(self, encode):
        return to_json(self.from_json(encode))

    async def elements(self, elements):
        return rewrite(bytes.fromhex(elements))

    async def _call(self, method, arguments):
        result = method(**self.from_json(arguments))
        return await asyncio.wait_for(result, LONGEST_WAIT_S) if inspect.isawaitable(result) else result

    def _callback(self, name):
        return self.callbacks.setdefault(name, Gathered())

    def from_json(self, value):  # noqa: PLR0911  (one kind of value a line)
        """JSON to what the SDK takes."""
        if isinstance(value, list):
            return [self.from_json(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$time" in value:
            return pd.Timestamp(value["$time"], unit="ns", tz="UTC")
        if "$duration" in value:
            return pd.Timedelta(value["$duration"], unit="ns")
        if "$bytes" in value:
            return bytes.fromhex(value["$bytes"])
        if "$payload" in value:
            return self.from_json(value["$payload"]).to_payload()
        if "$gather" in value:
            return self._callback(value["$gather"])
        if "$iter" in value:
            return iter(self.from_json(value["$iter"]))
        if "$new" in value:
            arguments = {key: self.from_json(item) for key, item in value.items() if key != "$new"}
            return operator.attrgetter(value["$new"])(intdash)(**arguments)
        return {key: self.from_json(item) for key, item in value.items()}


def to_json(value):  # noqa: PLR0911  (one kind of value a line)
    """What the SDK gives to JSON."""
    if value is None or value is pd.NaT:
        return None
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, pd.Timestamp):
        return {"$time": value.as_unit("ns").value}
    if isinstance(value, pd.Timedelta):
        return {"$duration": value.as_unit("ns").value}
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple) or inspect.isgenerator(value):
        return [to_json(item) for item in value]
    if isinstance(value, intdash.data.Data):
        # A base time has no id in the SDK.
        return {
            "$bytes": value.to_payload().hex(),
            "data_type": value.data_type.value,
            "data_id": getattr(value, "data_id", None),
        }
    return {key: to_json(item) for key, item in vars(value).items()}


def rewrite(message):
    """Read the elements of a message and write each anew."""
    reader, written = _protocol.Reader(io.BufferedReader(io.BytesIO(message))), []
    try:
        while True:
            out = io.BytesIO()
            writer = _protocol.Writer(io.BufferedWriter(out))  # closes `out` when it goes
            writer.write_elem(reader.read_elem())
            written.append(out.getvalue().hex())
    except Exception as error:
        # The SDK has no other end of a message than an exception.
        return {"written": written, "ended_by": type(error).__name__}


async def serve(answer):
    """Answer line after line until the input ends."""
    driver, loop = Driver(), asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            reply = {"result": await driver.carry_out(json.loads(line))}
        except Exception as error:
            # Not only the SDK's own kinds: whatever it raised is the answer to the call, and the test decides what to make of it.
            reply = {"error": f"{type(error).__name__}: {error}"}
        answer.write(json.dumps(reply) + "\n")
        answer.flush()


if __name__ == "__main__":
    asyncio.run(serve(sys.stdout))
