"""The vendor's SDK reads an exported folder that our server serves as it reads the server that it was exported from."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames import DataType
from tests.interop.conftest import Reference
from tests.interop.rows import BASETIME_NS, Recording, as_data_points, random_objects
from tests.interop.streaming import (
    MICROSECOND,
    filters_of,
    new_name,
    recording_of,
    reference_downstream_spec,
    reference_points,
)

RANGE = {"start": {"$time": BASETIME_NS}, "end": {"$time": BASETIME_NS + 10**12}}


@pytest.fixture(scope="module")
def recording(reference: Reference) -> Recording:
    rng = random.Random(7)
    objects = [item for turn in range(4) for item in random_objects(rng, turn)]
    return recording_of(reference, objects, step_ns=50 * MICROSECOND)


@pytest.fixture(scope="module")
def stored(client: idf.Client, recording: Recording) -> str:
    edge = client.edges.me()
    uuid = client.measurements.create(edge_uuid=edge.uuid, basetime=pd.Timestamp(BASETIME_NS, tz="UTC"), name="folder").uuid
    client.data_points.store(uuid, as_data_points(recording.rows))
    client.measurement_markers.create(uuid, "point", idf.MeasurementMarkerDetailPoint(pd.Timedelta("1ms")), "here")
    client.signals.create(
        "in m/s", DataType.float, "speed", 1, idf.ConversionNumFloatingPoint(0, "little", 64), idf.Display("m/s", 0.0, 9.0, "%f")
    )
    return uuid


@pytest.fixture(scope="module")
def twin(
    client: idf.Client,
    stored: str,
    start_reference: Callable[..., Reference],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Reference]:
    """The SDK on a server of the folder."""
    folder: Path = tmp_path_factory.mktemp("folder")
    client.export(stored, folder)
    with idf.LocalServer(folder, speed="max") as server:
        yield start_reference(url=server.url, edge_token="token")


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("edges.me", {}),
        ("measurements.list", {}),
        ("signals.list", {}),
        ("measurement_markers.list", {"measurement_uuid": None}),
        ("measurement_basetimes.list", {"measurement_uuid": None}),
        ("data_points.list", {"measurement_uuid": None, **RANGE}),
        ("data_points.list", {"edge_name": "demo", "limit": 7, "iterator": True, **RANGE}),
        ("data_points.list", {"measurement_uuid": None, "labels": ["in m/s"], **RANGE}),
        ("units.list", {"measurement_uuid": None, "id_queries": [{"$new": "IdQuery", "data_type": 1}], **RANGE}),
    ],
)
def test_the_reference_reads_the_same(
    reference: Reference, twin: Reference, stored: str, method: str, arguments: dict[str, Any]
) -> None:
    given = {name: stored if value is None else value for name, value in arguments.items()}
    found = reference.call(method, **given)
    assert found
    assert twin.call(method, **given) == found


def test_the_reference_follows_the_recording(twin: Reference, client: idf.Client, recording: Recording) -> None:
    kinds = (DataType.can, DataType.float, DataType.int)
    rows = [row for row in recording.rows if row.data_type in kinds and not row.has_empty_body]
    got = new_name()
    conn = twin.keep("connect_iscp")
    spec = reference_downstream_spec(client.edges.me().uuid, filters_of(rows))
    down = conn.keep("open_downstream", spec=spec, on_msg={"$gather": got})
    # The base time of the replay, which every downstream gets, comes first.
    basetime, *came = reference_points(twin.gathered(got, 1 + len(rows)))
    assert basetime.data_type == DataType.basetime
    assert [(point.channel, point.data_type, point.payload) for point in came] == [
        (row.channel, row.data_type, row.payload) for row in rows
    ]
    down.call("close")
    conn.call("close")
