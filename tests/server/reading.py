"""A store without a server: measurements made, answers read."""

from __future__ import annotations

from intdash_frames.server.accounts import Accounts
from intdash_frames.server.answers import data_answer
from intdash_frames.server.catalogue import create_measurement
from intdash_frames.server.selection import DataQuery
from intdash_frames.server.store import Store
from tests.server.conftest import read_points
from tests.server.samples import Row, points_of

T0 = 1_600_000_000_000_000_000


def new_store() -> Store:
    store = Store()
    Accounts(store, {"demo": "token", "other": "token 2"}, {})
    return store


def edge_uuid(store: Store, name: str = "demo") -> str:
    with store.read() as cursor:
        row = cursor.execute("SELECT uuid FROM edges WHERE name = ?", [name]).fetchone()
    assert row is not None
    return str(row[0])


def new_measurement(store: Store, rows: list[Row], basetime_ns: int = T0, edge: str = "demo") -> str:
    uuid = create_measurement(store, edge_uuid=edge_uuid(store, edge), basetime_ns=basetime_ns)
    store.append(uuid, points_of(rows), final=True)
    return uuid


def ask(store: Store, query: DataQuery) -> list[list[tuple[int, str, bytes]]]:
    """Pieces of an answer, each a list of (time, measurement uuid, payload)."""
    answer, pieces = data_answer(store, query), []
    while (piece := answer.next()) is not None:
        points = read_points(bytes(piece))
        pieces.append(
            [
                (int(points.time_ns[i]), points.keys[points.series[i]].measurement_uuid, points.payload(i))
                for i in range(len(points))
            ]
        )
    answer.close()
    return pieces


def flat(store: Store, name: str, start_ns: int = 0, end_ns: int = 2**63 - 1, **options: object) -> list[tuple[int, str, bytes]]:
    return [row for piece in ask(store, DataQuery(name, start_ns, end_ns, **options)) for row in piece]  # type: ignore[arg-type]
