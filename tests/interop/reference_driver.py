"""Runs the vendor's SDK on behalf of the interop tests. Only this file imports it, in an environment of its own.

One JSON object a line comes in, one goes out. `{"call": "measurements.create", "args": {...}}` calls that method of one
client object and answers `{"result": ...}` or `{"error": "TypeName: text"}`. The first line is `{"connect": {...}}` with the
arguments of the client. What JSON has no word for travels as an object with one marked key:

* `{"$time": ns}` a `pandas.Timestamp` in UTC, `{"$duration": ns}` a `pandas.Timedelta`, `{"$bytes": "hex"}`
* `{"$new": "DataPoint", ...}` or `{"$new": "data.Int", ...}` an object of the SDK, the other keys its arguments
* `{"$payload": {...}}` the payload bytes that the SDK makes of such an object

Answers use the same marks. A payload object is answered as its bytes with its type and id, any other object of the SDK as the
plain mapping of its attributes. `{"encode": ...}` answers what it got, read and written once.
"""

import enum
import inspect
import json
import operator
import sys
import warnings

warnings.simplefilter("ignore")

import intdash  # noqa: E402
import intdash.data  # noqa: E402
import pandas as pd  # noqa: E402


def decode(value):  # noqa: PLR0911  (one kind of value a line)
    """JSON to what the SDK takes."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$time" in value:
        return pd.Timestamp(value["$time"], unit="ns", tz="UTC")
    if "$duration" in value:
        return pd.Timedelta(value["$duration"], unit="ns")
    if "$bytes" in value:
        return bytes.fromhex(value["$bytes"])
    if "$payload" in value:
        return decode(value["$payload"]).to_payload()
    if "$new" in value:
        arguments = {key: decode(item) for key, item in value.items() if key != "$new"}
        return operator.attrgetter(value["$new"])(intdash)(**arguments)
    return {key: decode(item) for key, item in value.items()}


def encode(value):  # noqa: PLR0911  (one kind of value a line)
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
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple) or inspect.isgenerator(value):
        return [encode(item) for item in value]
    if isinstance(value, intdash.data.Data):
        # A base time has no id in the SDK.
        return {
            "$bytes": value.to_payload().hex(),
            "data_type": value.data_type.value,
            "data_id": getattr(value, "data_id", None),
        }
    return {key: encode(item) for key, item in vars(value).items()}


def serve(lines, answer):
    """Answer line after line until the input ends."""
    client = None
    for line in lines:
        command = json.loads(line)
        try:
            if "connect" in command:
                client = intdash.Client(**command["connect"])
                result = {"api_version": client.api_version}
            elif "encode" in command:
                result = encode(decode(command["encode"]))
            else:
                result = encode(operator.attrgetter(command["call"])(client)(**decode(command["args"])))
        except Exception as error:
            # Not only the SDK's own kinds: whatever it raised is the answer to the call, and the test decides what to make of it.
            answer.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
        else:
            answer.write(json.dumps({"result": result}) + "\n")
        answer.flush()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
