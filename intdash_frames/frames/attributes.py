"""The one entry in ``df.attrs``: where a frame came from and what its columns mean."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["ATTRIBUTE", "ATTRS_KEY", "FrozenDict", "freeze"]

ATTRIBUTE = "intdash"
# pandas gives back as `df.attrs` what the schema of a Parquet file says here.
ATTRS_KEY = "PANDAS_ATTRS"


class FrozenDict(dict[str, Any]):
    """A dictionary that cannot change, so that pandas can share it between frames instead of copying it on every operation.

    A plain dictionary of 500 signals in ``attrs`` makes each operation on a frame some seventy times slower; this one costs
    nothing and still goes through JSON and pickle.
    """

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("this dictionary is shared between frames and cannot be changed; make a dict() of it")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __copy__(self) -> FrozenDict:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenDict:
        return self

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


def freeze(value: Any) -> Any:
    """Freeze dictionaries all the way down; lists become tuples."""
    if isinstance(value, dict):
        return FrozenDict({str(key): freeze(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(freeze(item) for item in value)
    return value
