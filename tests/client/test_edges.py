from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from intdash_frames.client.connection import Connection
from intdash_frames.errors import UsageError
from intdash_frames.model import Edge, EdgeType


def test_the_edge_that_asks_is_the_one_of_the_token(connection: Connection) -> None:
    edge = connection.edges.me()
    assert (edge.name, edge.type, edge.disabled, edge.last_login_at) == ("demo", EdgeType.device, False, None)
    assert isinstance(edge.created_at, pd.Timestamp)
    assert str(edge).startswith(f"uuid: {edge.uuid}\nname: demo\n")


def test_a_list_is_one_page_and_an_iterator_is_all(connection: Connection) -> None:
    everybody = connection.edges.list()
    assert all(isinstance(edge, Edge) for edge in everybody)
    assert len(everybody) >= 3
    assert connection.edges.list(limit=2) == everybody[:2]
    assert connection.edges.list(limit=2, page=2) == everybody[2:4]
    pages = list(connection.edges.list(limit=2, iterator=True))
    assert all(len(page) <= 2 for page in pages)
    assert [edge for page in pages for edge in page] == everybody


def test_names_are_filtered_by_their_beginning(connection: Connection) -> None:
    assert [edge.name for edge in connection.edges.list("dem")] == ["demo"]
    assert connection.edges.list(name='"dem"') == []
    assert connection.edges.list(type=EdgeType.user) == connection.edges.list("alice")


def test_a_frame_has_every_edge_and_every_field(connection: Connection) -> None:
    frame = connection.edges.frame()
    assert list(frame.columns) == [each.name for each in dataclasses.fields(Edge)]
    assert frame["name"].tolist() == [edge.name for edge in connection.edges.list()]
    assert str(frame["created_at"].dtype) == "datetime64[ns, UTC]"
    assert frame["last_login_at"].isna().all()


def test_an_empty_frame_keeps_columns_and_dtypes(connection: Connection) -> None:
    empty, full = connection.edges.frame(name="nobody"), connection.edges.frame()
    assert empty.empty
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_a_bad_argument_is_refused_when_it_is_given(connection: Connection) -> None:
    for arguments in ({"type": "robot"}, {"limit": -1}, {"order": "up"}, {"disabled": "no"}):
        with pytest.raises(UsageError, match=next(iter(arguments))):
            connection.edges.list(**arguments, iterator=True)  # type: ignore[call-overload]
