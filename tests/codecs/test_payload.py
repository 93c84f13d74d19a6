"""One payload at a time says the same as whole columns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.codecs.layout import IdRule, Tail, Values
from intdash_frames.codecs.payload import pack, unpack
from intdash_frames.codecs.table import LAYOUTS
from intdash_frames.errors import PayloadError
from intdash_frames.model import DataType

NS = 1_000_000_000


def decoded_in_a_column(data_type, payload):
    """The values of one payload by way of `Layout.decode`; None if it is undecodable."""
    layout = LAYOUTS[data_type]
    name = payload[1 : 1 + payload[0]] if layout.id_rule is IdRule.NAME and payload and payload[0] < len(payload) else b""
    name = layout.data_id(name).encode() if name else b""  # as it stands in a series table: always UTF-8
    column = np.frombuffer(payload, np.uint8)
    bounds, one = np.array([0, len(payload)], np.int32), np.zeros(1, np.int64)
    decoded = layout.decode(column, bounds, one, one.astype(np.int32), Values.of([name]))
    if decoded.undecodable:
        return None
    row = [name.decode()] if layout.id_rule is IdRule.NAME else []
    for field in layout.head:
        value = decoded.columns[field.name]
        row += divmod(value.cast("int64")[0].as_py(), NS) if "," in field.format else value.to_pylist()
    return (*row, *(decoded.columns[layout.tail_name].to_pylist() if layout.tail is not Tail.NOTHING else ()))


def payloads(data_type):
    """Junk, and junk after an inner id that fits, so that both outcomes come up."""
    layout = LAYOUTS[data_type]
    junk = st.binary(max_size=40)
    if layout.id_rule is not IdRule.NAME:
        return junk
    sized = st.binary(min_size=layout.head_dtype.itemsize, max_size=layout.head_dtype.itemsize + 1)
    return junk | st.builds(lambda name, rest: bytes((len(name.encode()),)) + name.encode() + rest, st.text(max_size=8), sized)


@pytest.mark.parametrize("data_type", [DataType(number) for number in sorted(LAYOUTS)])
@given(draw=st.data())
@settings(deadline=None, max_examples=60)
def test_one_payload_reads_like_a_column_of_one_and_packs_back(data_type, draw):
    payload = draw.draw(payloads(data_type))
    expected = decoded_in_a_column(data_type, payload)
    try:
        row = unpack(data_type, payload)
    except PayloadError:
        row = None
    if data_type is DataType.basetime and row is not None and row[2] >= NS:
        row = None  # the instant is put together, and refused, by the data class
    assert repr(row) == repr(expected)  # by repr, so that a NaN equals itself
    if row is not None:
        assert pack(data_type, row) == payload
