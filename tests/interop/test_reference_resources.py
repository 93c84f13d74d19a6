"""The vendor's SDK uses our server: version, log-in, edges and measurements."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.interop.conftest import Reference, ReferenceFailed

BASETIME_NS = 1_594_283_650_832_607_123
MICROSECOND = 1_000
SECOND = 1_000_000_000


@pytest.fixture
def measurement(reference: Reference) -> Any:
    edge = reference.call("edges.me")
    return reference.call("measurements.create", edge_uuid=edge["uuid"], basetime={"$time": BASETIME_NS}, name="first drive")


def test_the_version_is_one_that_the_reference_supports_in_full(reference: Reference) -> None:
    assert tuple(int(part) for part in reference.api_version.split(".")) >= (1, 10, 0)


def test_a_user_logs_in_with_name_and_password(server: Any, start_reference: Callable[..., Reference]) -> None:
    someone = start_reference(url=server.url, username="someone", password="password")
    assert someone.call("edges.me")["name"] == "someone"


def test_a_wrong_password_is_refused(server: Any, start_reference: Callable[..., Reference]) -> None:
    with pytest.raises(ReferenceFailed, match="HTTPError: 401"):
        start_reference(url=server.url, username="someone", password="guess")


def test_a_wrong_token_is_refused(server: Any, start_reference: Callable[..., Reference]) -> None:
    stranger = start_reference(url=server.url, edge_token="guess")
    with pytest.raises(ReferenceFailed, match="HTTPError: 401"):
        stranger.call("edges.me")


def test_a_url_with_a_trailing_slash_gives_paths_that_begin_with_two(
    server: Any, start_reference: Callable[..., Reference]
) -> None:
    careless = start_reference(url=server.url + "/", edge_token="token")
    me = careless.call("edges.me")
    assert me["name"] == "demo"
    made = careless.call("measurements.create", edge_uuid=me["uuid"], basetime={"$time": BASETIME_NS})
    # A later page's path comes from the server, and the SDK puts the same base with its slash before it.
    pages = careless.call("measurements.list", limit=1, iterator=True)
    assert made["uuid"] in [item["uuid"] for page in pages for item in page]


def test_edges_are_listed_and_walked(reference: Reference) -> None:
    listed = reference.call("edges.list", limit=100)
    assert {"demo", "someone"} <= {edge["name"] for edge in listed}
    assert reference.call("edges.me") in listed
    pages = reference.call("edges.list", limit=1, iterator=True)
    assert [len(page) for page in pages] == [1] * len(listed)
    assert [page[0] for page in pages] == listed
    assert [edge["name"] for edge in reference.call("edges.list", name="dem")] == ["demo"]


def test_a_new_measurement_comes_back_as_it_was_made(reference: Reference, measurement: Any) -> None:
    assert measurement["basetime"] == {"$time": BASETIME_NS}
    assert measurement["basetime_type"] == 255
    assert (measurement["name"], measurement["ended"], measurement["protected"]) == ("first drive", False, False)
    assert reference.call("measurements.get", uuid=measurement["uuid"]) == measurement


def test_an_update_changes_what_it_names_and_nothing_else(reference: Reference, measurement: Any) -> None:
    reference.call("measurements.update", uuid=measurement["uuid"], description="wet road", ended=True)
    changed = reference.call("measurements.get", uuid=measurement["uuid"])
    assert changed["updated_at"]["$time"] >= measurement["updated_at"]["$time"]
    assert changed == measurement | {"description": "wet road", "ended": True} | {
        key: changed[key] for key in ("updated_at", "processed_ratio")
    }


def test_a_protected_measurement_is_deleted_only_after_its_release(reference: Reference, measurement: Any) -> None:
    uuid = measurement["uuid"]
    reference.call("measurements.protect", uuid=uuid)
    assert reference.call("measurements.get", uuid=uuid)["protected"] is True
    with pytest.raises(ReferenceFailed, match="HTTPError: 4"):
        reference.call("measurements.delete", uuid=uuid)
    reference.call("measurements.unprotect", uuid=uuid)
    reference.call("measurements.delete", uuid=uuid)
    with pytest.raises(ReferenceFailed, match="HTTPError: 404"):
        reference.call("measurements.get", uuid=uuid)


def test_measurements_are_listed_by_their_base_time_and_walked_in_pages(reference: Reference) -> None:
    edge = reference.call("edges.me")["uuid"]
    first = BASETIME_NS + 3600 * SECOND
    made = [
        reference.call("measurements.create", edge_uuid=edge, basetime={"$time": first + i * SECOND}, name=f"walk {i}")
        for i in range(5)
    ]
    within = {"start": {"$time": first - MICROSECOND}, "end": {"$time": first + 5 * SECOND}}
    assert reference.call("measurements.list", **within) == made
    assert reference.call("measurements.list", **within, order="desc") == made[::-1]
    pages = reference.call("measurements.list", **within, limit=2, iterator=True)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [item for page in pages for item in page] == made
    assert reference.call("measurements.list", **within, name="walk 3") == made[3:4]
    assert reference.call("measurements.list", **within, ended=True) == []


def test_what_the_reference_made_our_client_sees(reference: Reference, measurement: Any, client: Any) -> None:
    ours = client.measurements.get(measurement["uuid"])
    assert (ours.uuid, ours.name, ours.basetime.value) == (measurement["uuid"], "first drive", BASETIME_NS)
    assert ours.created_at.value == measurement["created_at"]["$time"]
