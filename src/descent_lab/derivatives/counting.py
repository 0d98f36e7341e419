"""Arrays that count the multiplications which are made with them."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Count:
    """The multiplications made so far: `products` within matrix products, `scalings` of entries by entries."""

    products: int = 0
    scalings: int = 0

    @property
    def multiplications(self) -> int:
        """The sum of both kinds."""
        return self.products + self.scalings


class Counted(np.ndarray):
    """An array that adds the multiplications made with it to a count. Results of operations on it do so too."""

    count: Count | None = None

    def __array_finalize__(self, parent: Any) -> None:
        self.count = getattr(parent, "count", None)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if out is not None:
            options["out"] = tuple(map(_plain, out))
        result = getattr(ufunc, method)(*map(_plain, inputs), **options)
        count = next((x.count for x in inputs if isinstance(x, Counted) and x.count is not None), None)
        if count is None:
            return result
        if ufunc is np.matmul:
            count.products += np.size(result) * np.shape(inputs[0])[-1]
        elif ufunc is np.multiply and method == "__call__":
            count.scalings += np.size(result)
        return tuple(counted(r, count) for r in result) if isinstance(result, tuple) else counted(result, count)


def counted(array: Any, count: Count) -> Any:
    """The array as one that adds to this count. Anything but an array is returned as it is."""
    if not isinstance(array, np.ndarray):
        return array
    view = array.view(Counted)
    view.count = count
    return view


def _plain(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, Counted) else x
