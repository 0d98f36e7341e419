"""The data of a run as MLflow's column Dataset and its filter show them: one input for each part of the samples."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from descent_lab.data.base import Outline
from descent_lab.tracking.record import Origin

CONTEXT = "mlflow.data.context"  # the tag that says what a part was used for
DIGITS = 12  # hexadecimal, of the digest of the data; MLflow allows 36 letters with the name of the part
MAX_COLUMNS = 32  # data with more columns are described by their shape


@lru_cache(maxsize=64)
def inputs_of(origin: Origin, data: Outline) -> tuple[dict[str, Any], ...]:
    """The fields of an `entry.Input` for each part of the data: train, validation (where there is one) and test.

    All seeds share them: the digest is of the whole data set and of how it is split, not of the rows that a seed draws.
    """
    source_type, source = _source(origin)
    n_columns = len(data.features) + len(_targets(data))
    return tuple(
        {
            "name": origin.name,
            "digest": f"{origin.digest[:DIGITS]}-{part}",
            "source_type": source_type,
            "source": source,
            "schema": _schema(data),
            "profile": json.dumps({"num_rows": rows, "num_elements": rows * n_columns}),
            "tags": {CONTEXT: part},
        }
        for part, rows in data.rows
    )


def _source(origin: Origin) -> tuple[str, str]:
    """The type of the source, and the source as JSON, as MLflow's own classes of sources write them."""
    if origin.path is None:
        return "code", json.dumps({"tags": {"mlflow.source.name": origin.made_by}})
    return "local", json.dumps({"uri": str(Path(origin.path).absolute())})


def _schema(data: Outline) -> str:
    """The columns by name and type, or, of wide data, the shapes of the features and the targets, as JSON."""
    targets = _targets(data)
    if len(data.features) + len(targets) > MAX_COLUMNS:
        shapes = {"features": _tensor(len(data.features)), "targets": _tensor(data.n_targets)}
        return json.dumps({"mlflow_tensorspec": shapes})
    return json.dumps({"mlflow_colspec": [*(_column(name, "double") for name in data.features), *targets]})


def _targets(data: Outline) -> list[dict[str, Any]]:
    """The columns of what is predicted: the class of a sample, or its values."""
    if data.classes:
        return [_column("class", "string")]
    n = data.n_targets
    return [_column(name, "double") for name in (["target"] if n == 1 else [f"target_{k + 1}" for k in range(n)])]


def _column(name: str, kind: str) -> dict[str, Any]:
    return {"type": kind, "name": name, "required": True}


def _tensor(width: int) -> str:
    return json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, width]}}])
