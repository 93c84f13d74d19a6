"""Golden calls, made again on our server: it must answer with the status and in the shape that the reference reads."""

from __future__ import annotations

import re
from typing import Any

from tests.server.conftest import Caller, golden

CASES = {case["name"]: case for case in golden("rest_requests.json")["cases"]}
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FREE_FORM = "tag"  # whose keys are the user's


def replay(call: Caller, name: str, *uuids: str) -> Any:
    """Make a golden call with these uuids in its path, check the answer against the golden one, give its JSON."""
    case, path_uuids = CASES[name], iter(uuids)
    path = UUID.sub(lambda _: next(path_uuids), case["path"])
    assert next(path_uuids, None) is None, f"{case['path']} has fewer uuids"
    query = f"?{case['raw_query']}" if case["raw_query"] else ""
    answer = call(case["method"], path + query, json=case["json"])
    assert answer.status_code == case["response_status"], answer.text
    if "response_json" not in case:
        assert answer.content == b""
        return None
    assert_same_shape(answer.json(), case["response_json"], name)
    return answer.json()


def assert_same_shape(ours: Any, theirs: Any, where: str) -> None:
    """Same keys at every level and same kinds of values; an item of a list is like one of theirs that has its `type`."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), where
        if where.rpartition(".")[2] == FREE_FORM:
            assert all(isinstance(value, str) for value in ours.values()), where
            return
        assert set(ours) == set(theirs), where
        for key, value in theirs.items():
            assert_same_shape(ours[key], value, f"{where}.{key}")
    elif isinstance(theirs, list):
        assert isinstance(ours, list), where
        for each in ours:
            like = [item for item in theirs if not isinstance(item, dict) or item.get("type") == each.get("type")]
            assert_same_shape(each, like[0], f"{where}[]")
    elif isinstance(theirs, int | float) and not isinstance(theirs, bool):
        assert isinstance(ours, int | float), where
        assert not isinstance(ours, bool), where
    else:
        assert type(ours) is type(theirs), where
