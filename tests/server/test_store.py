from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from intdash_frames.errors import UsageError
from intdash_frames.server.accounts import Accounts
from intdash_frames.server.answers import data_answer
from intdash_frames.server.catalogue import create_measurement
from intdash_frames.server.selection import DataQuery
from intdash_frames.server.store import Refused, Store
from tests.server.conftest import BASETIME_NS, Caller, read_points
from tests.server.samples import body_of, int_row, points_of


@pytest.fixture
def store() -> Store:
    store = Store()
    Accounts(store, {"demo": "token"}, {})
    return store


def new_measurement(store: Store, basetime_ns: int = BASETIME_NS) -> str:
    with store.read() as cursor:
        edge_uuid = cursor.execute("SELECT uuid FROM edges").fetchall()[0][0]
    return create_measurement(store, edge_uuid=edge_uuid, basetime_ns=basetime_ns)


def count(store: Store, table: str) -> int:
    with store.read() as cursor:
        row = cursor.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_points_that_come_twice_are_kept_twice(store: Store) -> None:
    uuid = new_measurement(store)
    for _ in range(2):
        store.append(uuid, points_of([int_row(5)]), final=True)
    assert count(store, "points") == 2
    assert count(store, "series") == 1
    store.close()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (int_row(-1), "elapsed time -1 ns"),
        (int_row(1, channel=256), "channel 256"),
        (int_row(2**63 - 1), "leaves 64 bits"),
    ],
)
def test_bad_points_are_refused_and_nothing_is_kept(store: Store, row: tuple[int, int, int, str, bytes], said: str) -> None:
    uuid = new_measurement(store)
    with pytest.raises(Refused, match=said) as refusal:
        store.append(uuid, points_of([int_row(0), row]), final=True)
    assert refusal.value.status == 400
    assert count(store, "points") == count(store, "series") == 0
    with store.read() as cursor:
        assert cursor.execute("SELECT ended FROM measurements").fetchone() == (False,)
    store.append(uuid, points_of([int_row(0)]), final=True)  # the refused series left nothing behind in memory either
    assert count(store, "series") == 1
    store.close()


def test_a_measurement_that_is_not_there_is_refused(store: Store) -> None:
    with pytest.raises(Refused, match="no measurement") as refusal:
        store.append("00112233-4455-6677-8899-aabbccddeeff", points_of([int_row(0)]), final=True)
    assert refusal.value.status == 404
    store.close()


def test_an_answer_shows_the_store_as_it_was_when_it_began(store: Store) -> None:
    uuid = new_measurement(store)
    store.append(uuid, points_of([int_row(1)]), final=False)
    answer = data_answer(store, DataQuery(uuid, 0, 2**62))
    store.append(uuid, points_of([int_row(2), int_row(3, data_id="new")]), final=False)
    piece = answer.next()
    assert piece is not None
    assert len(read_points(bytes(piece))) == 1
    assert answer.next() is None
    answer.close()
    assert answer.next() is None
    store.close()


@pytest.mark.parametrize(
    ("sections", "in_order"),
    [
        ([[]], True),
        ([[0, 0, 3], [3, 9], [9]], True),
        ([[0, 2, 1]], False),
        ([[0, 5], [4]], False),
        ([[5], [4, 6], [7]], False),
        ([[5], [], [6]], True),
    ],
)
def test_whether_points_came_in_the_order_of_time_is_kept(store: Store, sections: list[list[int]], in_order: bool) -> None:
    uuid, other = new_measurement(store), new_measurement(store)
    for times in sections:
        store.append(uuid, points_of([int_row(time) for time in times]), final=False)
    with store.read() as cursor:
        found = dict(cursor.execute("SELECT uuid, in_order FROM measurements").fetchall())
    assert found == {uuid: in_order, other: True}
    store.close()


def test_the_largest_payload_is_kept_and_a_refused_one_is_not(store: Store) -> None:
    uuid = new_measurement(store)
    sizes: list[int] = []
    for elapsed_ns, size in ((0, 20), (1, 300), (2, 5), (-1, 1000)):
        with contextlib.suppress(Refused):
            store.append(uuid, points_of([int_row(0), (elapsed_ns, 9, 1, "jpeg", bytes(size))]), final=False)
        with store.read() as cursor:
            sizes += cursor.execute("SELECT largest_payload FROM measurements").fetchone() or ()
    assert sizes == [20, 300, 300, 300]
    store.close()


def test_a_file_of_the_first_layout_opens_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "data.duckdb"
    store = Store(path)
    Accounts(store, {"demo": "token"}, {})
    uuid = new_measurement(store)
    store.append(uuid, points_of([int_row(2, 2), int_row(1, 1)]), final=False)
    with store.write() as cursor:
        for column in ("in_order", "largest_payload"):
            cursor.execute(f"ALTER TABLE measurements DROP COLUMN {column}")
    store.close()
    for _ in range(2):
        store = Store(path)
        store.append(uuid, points_of([int_row(3)]), final=False)
        new = new_measurement(store)
        with store.read() as cursor:
            rows = cursor.execute("SELECT uuid, in_order, largest_payload >= 10 FROM measurements").fetchall()
        assert (uuid, False, True) in rows  # nothing is known of what it held
        assert (new, True, False) in rows
        store.close()
    store = Store(path)
    answer = data_answer(store, DataQuery(uuid, 0, 2**62))
    piece = answer.next()
    assert piece is not None
    assert (read_points(bytes(piece)).time_ns - BASETIME_NS).tolist() == [1, 2, 3, 3]
    answer.close()
    store.close()


def test_stores_from_many_threads_are_all_kept(store: Store) -> None:
    uuid = new_measurement(store)

    def keep(number: int) -> None:
        store.append(uuid, points_of([int_row(number, data_id=f"i{number}")] * 50), final=False)

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(store, "points") == 400
    with store.read() as cursor:
        found = cursor.execute(
            "SELECT count(DISTINCT p.series_id), count(DISTINCT s.data_id) FROM points p JOIN series s USING (series_id)"
        )
        assert found.fetchone() == (8, 8)
    store.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to look at" * 500)
    with pytest.raises(UsageError, match=r"notes\.txt"):
        Store(path)


def test_a_file_has_one_store_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("data.duckdb")
    for same in ("data.duckdb", tmp_path / "data.duckdb"):
        with pytest.raises(UsageError, match=r"data\.duckdb' is open in this process already; close its server first"):
            Store(same)
    store.close()
    Store(tmp_path / "data.duckdb").close()


def test_a_file_of_other_tables_is_named_and_let_go(tmp_path: Path) -> None:
    path = tmp_path / "others.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE TABLE series(name VARCHAR)")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"cannot open the data file '.*others\.duckdb'"):
            Store(path)
    path.unlink()
    Store(path).close()


def test_a_file_in_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        Store(tmp_path / "nowhere" / "data.duckdb")


SERVE = """
import sys
from intdash_frames.server.app import serve
print(serve(sys.argv[1]).url, flush=True)
sys.stdin.read()
"""


def test_what_was_acknowledged_survives_kill_minus_nine(tmp_path: Path) -> None:
    path = str(tmp_path / "data.duckdb")
    command = [sys.executable, "-c", SERVE, path]
    rows = [int_row(i, i) for i in range(20_000)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        call = Caller(process.stdout.readline().strip())
        uuid = call.create(name="killed")
        assert call.store(body_of(uuid, rows, final=False)) == bytes.fromhex("aafa010000000000")
        assert call.store(body_of(uuid, rows[:3], serial_number=1)) == bytes.fromhex("aafa010001000000")
        process.kill()
        call.session.close()
    store = Store(path)
    answer = data_answer(store, DataQuery(uuid, 0, 2**62))
    piece = answer.next()
    assert piece is not None
    points = read_points(bytes(piece))
    assert len(points) == len(rows) + 3
    assert points.payload(len(rows) + 2) == rows[-1][4]
    with store.read() as cursor:
        assert cursor.execute("SELECT name, ended FROM measurements").fetchall() == [("killed", True)]
    answer.close()
    store.close()


def test_what_was_found_is_recalled_until_something_is_written(store: Store) -> None:
    found: list[int] = []

    def find(cursor: duckdb.DuckDBPyConnection) -> int:
        found.append(len(cursor.execute("SELECT * FROM captures").fetchall()))
        return found[-1]

    assert [store.recall("captures", find) for _ in range(3)] == [0, 0, 0]
    assert found == [0]
    with store.write() as cursor:
        cursor.execute("INSERT INTO captures(uuid) VALUES ('one')")
    assert [store.recall("captures", find) for _ in range(3)] == [1, 1, 1]
    assert found == [0, 1]


def test_what_was_found_while_something_was_written_is_not_recalled(store: Store) -> None:
    def find(cursor: duckdb.DuckDBPyConnection) -> int:
        count = len(cursor.execute("SELECT * FROM captures").fetchall())
        if not count:
            with store.write() as writing:
                writing.execute("INSERT INTO captures(uuid) VALUES ('one')")
        return count

    assert store.recall("captures", find) == 0
    assert store.recall("captures", find) == 1


def test_nothing_that_could_not_be_found_is_recalled(store: Store) -> None:
    def refuse(_: duckdb.DuckDBPyConnection) -> None:
        raise Refused(404, "not there")

    for _ in range(2):
        with pytest.raises(Refused):
            store.recall("nothing", refuse)
    assert store.recall("nothing", lambda _: 5) == 5
