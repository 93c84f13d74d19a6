"""What is stored against what was shown, point by point, by a way that shares nothing with how either came about."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def differences(stored: pa.Table, shown: pa.Table) -> tuple[int, int]:
    """Compare two envelopes, whatever their order.

    Parameters
    ----------
    stored, shown : pyarrow.Table

    Returns
    -------
    missing, repeated : int
        Points that are stored and were not shown; that were shown more often than they are stored [count].
    """
    parts = [
        _plain(table).append_column("left", pa.array([sign] * len(table), pa.int64()))
        for table, sign in ((stored, 1), (shown, -1))
    ]
    left = pa.concat_tables(parts).group_by(stored.column_names).aggregate([("left", "sum")])["left_sum"]
    total = pc.sum(left).as_py() or 0
    missing = pc.sum(pc.max_element_wise(left, 0)).as_py() or 0
    return missing, missing - total


def _plain(table: pa.Table) -> pa.Table:
    """Texts without dictionaries, which differ from batch to batch."""
    plain = [
        pa.field(each.name, each.type.value_type if pa.types.is_dictionary(each.type) else each.type) for each in table.schema
    ]
    return table.cast(pa.schema(plain))
