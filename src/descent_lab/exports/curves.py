"""The curves of any number of runs in one long table, as a parquet or a csv file, in bounded memory.

A row is one value of one metric of one run at one record. Its columns:

run_id, status (finished or diverged), seed
one column for each parameter that differs between the runs, such as dataset, optimizer, lr, model.hidden
step, epoch, step_seconds (time/step_seconds: training alone), metric (such as train/loss), value

Columns of parameters hold numbers where all their values are numbers, and otherwise text; a run that lacks a parameter
has none there.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pandas as pd
from pandas.api.types import is_numeric_dtype

from descent_lab.analysis.study import varying
from descent_lab.errors import ConfigError, ModelError
from descent_lab.tracking.reader import Results, read_curves
from descent_lab.tracking.reader.frames import curves_frame

FORMATS = (".parquet", ".csv")
AT_A_TIME = 16  # runs that are read at once
ROWS = 500_000  # a row group of a parquet file is written when there are as many rows
PLACE = ("tracking.phase", "tracking.block")  # of runs of a tuned study
WRITTEN = "None"  # how a store holds a parameter without a value

Write = Callable[[pd.DataFrame], None]


class Size(NamedTuple):
    """What was written."""

    runs: int
    rows: int


def write_curves(results: Results, path: Path, metrics: Collection[str] | None = None) -> Size:
    """Write the curves of these runs into a file, which appears under its name only when it is complete.

    results: as `reader.find` gives them, without curves. metrics: those that are written; None: all.
    Raises ConfigError for another kind of file and one that cannot be written, ModelError where there are no values.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"output={path}: must end in {' or '.join(FORMATS)}")
    about, n_rows = _about(results), 0
    with _written(path) as write:
        for curves in _tables(results, metrics):
            write(curves.merge(about, on="run_id", how="left")[[*about, *curves.columns[1:]]])
            n_rows += len(curves)
        if not n_rows:
            named = "" if metrics is None else f" of {', '.join(metrics)}"
            raise ModelError(f"curves: {len(results.runs)} runs in {results.uri} have no values{named}")
    return Size(len(results.runs), n_rows)


def _about(results: Results) -> pd.DataFrame:
    """The columns that are the same for all values of a run, one row a run."""
    runs = results.runs
    place = [name for name in PLACE if name in runs and runs[name].nunique() > 1]
    names = [*varying(runs, results.params), *place]
    return runs[["run_id", "status", "seed"]].join(runs[names].apply(_typed))


def _typed(values: pd.Series) -> pd.Series:
    """Numbers, where all values that there are can be read as numbers; else text."""
    known = values.where(values.notna() & (values.astype(str) != WRITTEN))
    try:
        return pd.to_numeric(known).astype(float)
    except (ValueError, TypeError):
        return known.map(str, na_action="ignore").astype(object)


def _tables(results: Results, metrics: Collection[str] | None) -> Iterator[pd.DataFrame]:
    """The curves in tables of about ROWS rows each."""
    waiting: list[pd.DataFrame] = []
    for start in range(0, len(results.runs), AT_A_TIME):
        runs = results.runs.iloc[start : start + AT_A_TIME]
        table = curves_frame(runs["run_id"], read_curves(results.artifacts, runs, metrics))
        waiting += [table] if len(table) else []
        if sum(map(len, waiting)) >= ROWS:
            yield pd.concat(waiting, ignore_index=True)
            waiting = []
    if waiting:
        yield pd.concat(waiting, ignore_index=True)


@contextmanager
def _written(path: Path) -> Iterator[Write]:
    """Gives a function that appends a table to the file; the file is renamed into place at the end."""
    draft = path.with_name(f".{path.name}.{uuid4().hex}.draft")
    try:
        with _csv(draft) if path.suffix == ".csv" else _parquet(draft) as write:
            yield write
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"output={path}: cannot be written ({error.strerror or error})") from None
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield lambda table: table.to_csv(file, index=False, header=file.tell() == 0)


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    """Each table becomes a row group; all have the types of the first one's columns."""
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        raise ConfigError("output: parquet needs pyarrow, which MLflow brings: pip install pyarrow, or .csv") from None
    writers: list[Any] = []

    def write(table: pd.DataFrame) -> None:
        if not writers:
            text = [name for name in table if not is_numeric_dtype(table[name])]
            kinds = {name: pa.string() if name in text else pa.from_numpy_dtype(table[name].dtype) for name in table}
            writers.append(ParquetWriter(path, pa.schema(kinds.items())))
        writers[0].write_table(pa.Table.from_pandas(table, schema=writers[0].schema, preserve_index=False))

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()
