"""A page for the person who finds the folder."""

from __future__ import annotations

from typing import Final

from intdash_frames.folder.manifest import Manifest

__all__ = ["readme"]

_PAGE: Final = """# Measured data from {url}

{rows:,} data points of {measurements} measurements, exported by intdash-frames {version}{state}. `manifest.json` lists every file
with its rows, bytes, first and last time and SHA-256, and all that is known of the measurements.

One folder a data type, each with one schema: {kinds}. Below it the folders are Hive partitions (`edge=`, `date=` in UTC,
`measurement=`). Times are nanoseconds in UTC; `payload` is the data point as it was recorded, other columns are decoded from it.

```python
import pandas as pd
pd.read_parquet("data_type={kind}")

import polars as pl
pl.scan_parquet("data_type={kind}/**/*.parquet", hive_partitioning=True)

import duckdb
duckdb.sql("select * from read_parquet('data_type={kind}/**/*.parquet', hive_partitioning=true)")

import pyarrow.dataset as ds
ds.dataset("data_type={kind}", partitioning="hive")
```

DuckDB before 2.0 cuts times to microseconds. Spark reads the files with `spark.sql.legacy.parquet.nanosAsLong` set to `true`, and
times as nanoseconds since 1970.

Files whose names begin with a dot belong to an export that is running or was stopped; the same export again goes on from there.
"""


def readme(manifest: Manifest) -> str:
    """Write the page of a folder."""
    files = list(manifest.files)
    kinds = sorted({file.path.split("/")[0].partition("=")[2] for file in files})
    return _PAGE.format(
        url=manifest.url,
        rows=sum(file.rows for file in files),
        measurements=len(manifest.measurements),
        version=manifest.version,
        state="" if not manifest.failed else " (not all could be read: see `failed` in the manifest)",
        kinds=", ".join(f"`data_type={kind}`" for kind in kinds) or "none yet",
        kind=kinds[0] if kinds else "float",
    )
