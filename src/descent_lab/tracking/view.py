"""The charts that MLflow shows of a sweep: a saved view of its experiment, which a link opens.

MLflow keeps a saved view as a tag of the experiment: in JSON its name, its time, and the state of the page, which is
JSON again, compressed by zlib and written in base64. The fields of the state are those of the `ExperimentPageUIState`
and the `ExperimentPageSearchFacetsState` of MLflow's own pages. Fields that are left out have MLflow's defaults.
"""

import json
import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from shlex import quote
from time import time
from typing import Any, Protocol

from descent_lab.errors import without_password
from descent_lab.metrics import METRICS
from descent_lab.tracking.address import sqlite_file

TAG = "mlflow.sharedViewState."  # what follows is the key in the link
OURS = f"{TAG}sweep-"
KEPT = 10  # saved views of ours in an experiment: MLflow allows 40, its users' own among them
SHOWN = "FIRST_20_RUNS"  # of the groups, where runs are grouped
COLLAPSED = 60  # the most groups of which only the head is shown; a longer list would not fit into a tag
PORT = "http://127.0.0.1:5000"  # where `mlflow ui` answers
SERVERS = ("http://", "https://")
SECTION = "curves"


@dataclass(frozen=True)
class View:
    """Charts of the runs of a sweep.

    query: MLflow's search for the runs. group_by: the params whose values make a group, which the charts show as its
    mean and range; none: each run is a line. groups: their values in each group.
    """

    sweep: str
    query: str
    group_by: Sequence[str]
    groups: Sequence[Sequence[str]]

    @property
    def key(self) -> str:
        """The tag of the experiment that holds the view."""
        return OURS + sha256(self.sweep.encode()).hexdigest()[:8]

    @property
    def value(self) -> str:
        """What MLflow keeps."""
        now = int(1000 * time())
        state = b64encode(zlib.compress(json.dumps(self._state()).encode(), 9)).decode()
        named = {"name": f"sweep {self.sweep}", "createdAt": now, "updatedAt": now, "state": f"deflate;{state}"}
        return json.dumps(named)

    def _state(self) -> dict[str, Any]:
        keys = [{"mode": "param", "groupByData": name} for name in self.group_by]
        heads = [
            ",".join(f"param.{name}.{value}" for name, value in zip(self.group_by, group, strict=True))
            for group in self.groups[:COLLAPSED]
        ]
        columns = [*(f"params.`{name}`" for name in (*self.group_by, "seed")), "metrics.`final/train_loss`"]
        section = {"uuid": SECTION, "name": "Curves", "display": True, "isReordered": True, "columns": 2}
        return {
            "searchFilter": self.query,
            "selectedColumns": ["attributes.`Dataset`", *columns],
            "runsHiddenMode": SHOWN,
            "compareRunCharts": _charts(),
            "compareRunSections": [section],
            "isAccordionReordered": True,  # else MLflow sorts the sections by name, and charts of best/* come first
            "groupBy": {"aggregateFunction": "average", "groupByKeys": keys} if keys else None,
            "groupsExpanded": dict.fromkeys(heads, False),
            "useGroupedValuesInCharts": True,
            "hideEmptyCharts": True,  # of metrics that these runs do not have
        }


class Tagged(Protocol):
    """A store that can note something of its experiment (`stores.Store`)."""

    def experiment_tags(self) -> Mapping[str, str]:
        """The tags of the experiment."""

    def tag_experiment(self, changes: Mapping[str, str | None]) -> None:
        """Set tags of the experiment; None deletes one."""


def save(view: View, store: Tagged) -> None:
    """Keep a view in an experiment, and of those that were kept for other sweeps the latest."""
    others = {key: _time(value) for key, value in store.experiment_tags().items() if key.startswith(OURS)}
    others.pop(view.key, None)
    oldest = sorted(others, key=lambda key: others[key])[: max(0, len(others) - KEPT + 1)]
    store.tag_experiment({view.key: view.value, **dict.fromkeys(oldest)})


def link(view: View, uri: str, experiment_id: int | str) -> str | None:
    """Where a view is seen, in one line; None for a store of which that is not known here."""
    address = pages(uri)
    if address is None:
        return None
    page = (
        f"{address}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&compareRunsMode=CHART"
        f"&viewStateShareKey={view.key.removeprefix(TAG)}"
    )
    if uri.startswith(SERVERS):
        return page
    here = sqlite_file(uri) == Path.cwd() / "mlflow.db"  # which `mlflow ui` takes by itself
    start = "mlflow ui" if here else f"mlflow ui --backend-store-uri {quote(without_password(uri))}"
    return f"{start}, then {page}"


def pages(uri: str) -> str | None:
    """Where MLflow shows a store: at the server itself, or where `mlflow ui` answers; None where that is not known."""
    if uri.startswith(SERVERS):
        return without_password(uri.rstrip("/"))
    return PORT if sqlite_file(uri) or uri.startswith(("postgresql", "mysql")) else None


def _charts() -> list[dict[str, Any]]:
    """Losses and scores of the samples, the norm of the gradient, and the learning rate, over steps."""
    scores = [name for name in METRICS if name != "loss"]
    losses = [f"{part}/loss" for part in ("train", "validation", "test")]
    logarithmic = {*losses, "train/grad_norm"}
    names = [*losses, *(f"test/{name}" for name in scores), "train/grad_norm", "lr"]
    return [
        {
            "uuid": name,
            "type": "LINE",
            "metricSectionId": SECTION,
            "isGenerated": False,
            "deleted": False,
            "metricKey": name,
            "selectedMetricKeys": [name],
            "scaleType": "log" if name in logarithmic else "linear",
            "xAxisKey": "step",
            "xAxisScaleType": "linear",
            "selectedXAxisMetricKey": "",
            "lineSmoothness": 0,
            "displayPoints": False,
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "range": {},
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        }
        for name in names
    ]


def _time(value: str) -> float:
    """When a view was kept, in milliseconds since 1970; 0 for what cannot be read."""
    try:
        return float(json.loads(value)["createdAt"])
    except (KeyError, TypeError, ValueError):
        return 0.0
