from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.errors import RemoteProtocolError
from intdash_frames.protocol.endpoints import MEASUREMENTS_LIST
from intdash_frames.protocol.paging import PageWalk, Request

BASE = "http://host:8080/prefix"
GOLDEN = json.loads((Path(__file__).parents[2] / "fixtures" / "golden" / "rest_requests.json").read_text())["page_walk"]


def page(link: Any, *, last: bool = False) -> dict[str, Any]:
    return {"items": [], "page": {"first": False, "last": last, "next": link, "previous": ""}}


def test_the_recorded_walk_is_walked() -> None:
    walk = PageWalk(MEASUREMENTS_LIST.request(limit=1), base_url=BASE)
    sizes = []
    for asked, answer in zip(GOLDEN["requests"], GOLDEN["responses"], strict=True):
        assert walk.request is not None
        assert walk.request.target == f"{asked['path']}?{asked['raw_query']}"
        assert walk.request.method == asked["method"]
        sizes.append(len(MEASUREMENTS_LIST.items(answer)))
        walk.receive(answer)
    assert walk.request is None
    assert sizes == GOLDEN["yielded_sizes"]


@given(st.lists(st.integers(1, 4)), st.booleans())
@settings(deadline=None)
def test_a_walk_ends_whatever_the_links_say(links: list[int], ends: bool) -> None:
    walk = PageWalk(Request("GET", "/0"), base_url=BASE)
    asked = []
    for link in [*links, 0]:
        if walk.request is None:
            break
        asked.append(walk.request.target)
        walk.receive(page(f"/{link}"))
    assert walk.request is None or walk.request.target not in asked
    assert len(asked) == len(set(asked)) <= 5


@pytest.mark.parametrize("answer", [page("/x", last=True), page(""), page(None), page("/first"), {"items": []}, {"page": []}])
def test_the_walk_ends_at_the_last_page(answer: dict[str, Any]) -> None:
    walk = PageWalk(Request("GET", "/first"), base_url=BASE)
    walk.receive(answer)
    assert walk.request is None


def test_a_link_is_followed_exactly_as_given() -> None:
    walk = PageWalk(Request("GET", "/first"), base_url=BASE)
    walk.receive(page("/api/v1/edges?name=a%20b+c&x=%2A"))
    assert walk.request == Request("GET", "/api/v1/edges?name=a%20b+c&x=%2A")
    assert walk.request.target == "/api/v1/edges?name=a%20b+c&x=%2A"


def test_a_full_link_to_the_same_place_is_followed() -> None:
    walk = PageWalk(Request("GET", "/first"), base_url=BASE)
    walk.receive(page(f"{BASE}/api/v1/edges?page=2"))
    assert walk.request == Request("GET", "/api/v1/edges?page=2")


@pytest.mark.parametrize(
    "link",
    [
        "https://host:8080/prefix/x",
        "http://evil/x",
        "//evil/x",
        "@evil/x",
        ".evil/x",
        ":1/x",
        f"{BASE}@evil/x",
        f"{BASE}.evil/",
        5,
    ],
)
def test_a_link_to_another_origin_is_refused(link: Any) -> None:
    walk = PageWalk(Request("GET", "/first"), base_url=BASE)
    with pytest.raises(RemoteProtocolError, match="link to the next page"):
        walk.receive(page(link))
    assert walk.request is None
