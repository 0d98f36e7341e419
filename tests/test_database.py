"""Either way of writing, by SQL or through MLflow's client, leaves the same rows, and MLflow gives the same answers."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from harness import make_config
from mlflow import MlflowClient
from sqlalchemy import inspect
from stores import assert_whole, create_store, postgresql, stored

from descent_lab.cli import deliver
from descent_lab.errors import ConfigError, StoreError
from descent_lab.paths import CACHE, ROOT
from descent_lab.sweeps.execute import run_all
from descent_lab.tracking import database, entry, outbox, schema, server
from descent_lab.tracking.address import local_path
from descent_lab.tracking.database import DatabaseStore
from descent_lab.tracking.entry import Entry, Input, live_entry, points, report_entry
from descent_lab.tracking.server import ServerStore
from descent_lab.tracking.stores import Delivery, Stores

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

NOW = 1_700_000_000_000  # milliseconds since 1970
DIVERGES = ["dataset=line", "model=linear", "lr=1e6", "epochs=300", "record.every=1"]
RUNS = {"finished": ["epochs=20"], "diverged": DIVERGES, "live": ["epochs=40", "record.every=1"]}
DATA = [
    Input("line", "a1b2", "local", '{"uri": "line.csv"}', "{}", '{"num_rows": 3}', {"mlflow.data.context": "train"}),
    Input("line", "a1b2", "local", '{"uri": "line.csv"}', None, None, {"mlflow.data.context": "again"}),
    Input("held", "c3d4", "local", '{"uri": "line.csv"}'),
]
ODD = [
    *[("odd", value, NOW, 3) for value in (1.0, math.inf, -math.inf, math.nan, 1.0)],
    *[("late", 1.0, NOW + at, step) for at, step in ((5, 1), (7, 1), (9, 0))],
]


def _outcomes():
    """Runs of each kind as they lie in the outbox: folder and description by name."""
    run_all([make_config(*overrides, "tracking.offline=true") for overrides in RUNS.values()], progress=False)
    (session,) = list(outbox.abandoned_runs())
    named = {make_config(*overrides).identity: name for name, overrides in RUNS.items()}
    return {named[finished.tags["identity"]]: (folder, finished) for folder, finished in session}


def _more(finished, folder):
    """The entry of a run, with whatever else an entry can hold."""
    made = entry.entry_of(finished, folder)
    long = {"long": "x" * 7000}  # of a param, MLflow keeps 6000 letters
    more = {"params": {**made.params, **long}, "tags": {**made.tags, **long, "mlflow.user": "ada"}}
    return replace(made, **more, points=[*made.points, *ODD], inputs=DATA)


@pytest.fixture
def outcomes(tmp_path, monkeypatch):
    for module in (database, server):
        monkeypatch.setattr(module, "entry_of", _more)
        monkeypatch.setattr(module, "perf_counter", lambda: 0.0)  # writing takes no time
    return _outcomes()


def write_all(store, outcomes, folder: Path) -> None:
    """Write runs of every kind, a report twice, and the summary of a sweep."""
    live, described = outcomes["live"]
    curves = outbox.curves(live / "artifacts")
    tracked = make_config(*RUNS["live"], "tracking.offline=true").tracked
    shown = replace(live_entry(tracked, described.started, {"sweep": "s", "mlflow.user": "ada"}), inputs=DATA[:1])
    left = store.begin("0" * 32, shown)
    run_id = store.begin(live.name, shown)
    for part in (slice(0, 10), slice(10, 25)):
        store.extend(run_id, points({name: values[part] for name, values in curves.items()}, described.started))
        store.extend(left, points({name: values[part] for name, values in curves.items()}, described.started))
    runs = [outcomes[name] for name in ("finished", "diverged")]
    assert not store.deliver([Delivery(*run, log_seconds=0.5) for run in runs])
    assert not store.deliver([Delivery(live, described, live_run=run_id)])
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for name in ("index.html", "figures/a.png", "not_shown.csv"):
        (folder / name).write_text(name)
    for _ in range(2):
        store.add(replace(report_entry("s", folder, ["index.html", "figures/a.png"], "a\n" * 9000), started=NOW))
    tags = {"summary": "s", "writer": "elsewhere:1"}
    store.add(Entry(name="s", started=NOW, ended=NOW + 9, params={"runs": "3"}, tags=tags, points=ODD, inputs=DATA))


def dump(uri: str) -> dict[str, list[str]]:
    """The rows of every table, in an order, with the names of what they belong to in place of ids."""
    with schema.engine(uri, read_only=True).begin() as connection:
        names = dict(map(tuple, _rows(connection, "select run_uuid, name || ' ' || lifecycle_stage from runs")))
        names |= dict(map(tuple, _rows(connection, "select dataset_uuid, name from datasets")))
        uses = _rows(connection, "select input_uuid, destination_id, source_id from inputs")
        names |= {use: f"{names[run]} uses {names[data]}" for use, run, data in uses}
        tables = inspect(connection).get_table_names()
        rows = {table: _rows(connection, f"select * from {table}") for table in tables}
    return {table: sorted(repr(_told_apart(table, dict(row._mapping), names)) for row in rows[table]) for table in rows}


def _rows(connection, query: str) -> list:
    return connection.exec_driver_sql(query).fetchall()


def _told_apart(table, row, names):
    """A row without what differs from store to store."""
    made_now = {"experiments": ("creation_time", "last_update_time"), "runs": ("deleted_time",)}.get(table, ())
    values = {name: value is None if name in made_now else names.get(value, value) for name, value in row.items()}
    if table == "runs":
        assert values.pop("artifact_uri").endswith(f"/{row['run_uuid']}/artifacts")
        if values["name"].startswith("report"):  # ends when it is written
            del values["end_time"]
    if row.get("key") == "parcel":
        del values["value"]
    if row.get("key") == "mlflow.note.content":  # names the run
        assert row["run_uuid"] in row["value"] or "run=" not in row["value"]
        values["value"] = row["value"].replace(row["run_uuid"], "its id")
    if table == "experiments":
        del values["artifact_location"]
    return values


def files(uri: str) -> list[tuple[str, str, list[str]]]:
    """The name of each run, the folder above the folders of its experiment's runs, and the names of its files."""
    found = []
    with schema.engine(uri, read_only=True).begin() as connection:
        for name, place in _rows(connection, "select name, artifact_uri from runs"):
            folder = local_path(place)
            inside = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
            found.append((name, place.partition("://")[1] + folder.parents[1].name, inside))
    return sorted(found)


def answers(uri: str) -> list[str]:
    """What MLflow's client tells of each run, but for ids and places."""
    client = MlflowClient(uri)
    return sorted(_told(client, run) for run in client.search_runs(["1"]))


def _told(client, run) -> str:
    got = client.get_run(run.info.run_id)
    held = [run.info.run_name, run.info.status, run.info.start_time, run.info.user_id, run.data.to_dictionary()]
    held += [got.data.to_dictionary(), sorted(str(used.to_dictionary()) for used in got.inputs.dataset_inputs)]
    for metric in sorted(run.data.metrics):
        points = client.get_metric_history(run.info.run_id, metric)
        held.append([metric, sorted((point.step, point.timestamp, repr(point.value)) for point in points)])
    told = json.dumps(held, sort_keys=True).replace(run.info.run_id, "")
    return told.replace(run.data.tags.get("parcel", "no folder"), "")


def assert_the_same(uris, outcomes, folder: Path) -> None:
    """Both ways of writing leave the same in these stores. uris: an address for each way."""
    for way, uri in uris.items():
        write_all(way(uri, "optimizers"), outcomes, folder / "report")
    ours, theirs = dump(uris[DatabaseStore]), dump(uris[ServerStore])
    assert ours.keys() == theirs.keys()
    for table, rows in theirs.items():
        assert ours[table] == rows, table
    assert [len(theirs[table]) for table in ("runs", "datasets", "inputs")] == [7, 2, 9]
    assert files(uris[DatabaseStore]) == files(uris[ServerStore])
    assert answers(uris[DatabaseStore]) == answers(uris[ServerStore])


def test_either_way_leaves_the_same_rows_and_files(outcomes, tmp_path):
    ways = (DatabaseStore, ServerStore)
    assert_the_same({way: create_store(tmp_path / way.__name__ / "mlflow.db") for way in ways}, outcomes, tmp_path)


@pytest.mark.slow
def test_either_way_leaves_the_same_in_postgresql(outcomes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where MLflow puts files
    with postgresql() as new:
        uris = {way: new(way.__name__.lower()) for way in (DatabaseStore, ServerStore)}
        for uri in uris.values():
            assert database.prepare(uri) in schema.TESTED
        assert_the_same(uris, outcomes, tmp_path)


def small(*overrides: str, seeds: int = 1) -> str:
    runs = [make_config("epochs=2", "record.points=3", *overrides, f"seed={seed}") for seed in range(seeds)]
    return str(run_all(runs, progress=False))


@pytest.mark.parametrize("deleted", [False, True], ids=["stored", "stored and deleted by the user"])
def test_a_run_that_is_delivered_again_stays_as_it_is(store, monkeypatch, deleted):
    """The first process ends after it has written the run and before it discards the run's folder."""
    uri = create_store(store)
    small("tracking.offline=true")
    (((folder, finished),),) = outbox.abandoned_runs()
    Stores().at(uri, "optimizers").deliver([Delivery(folder, finished)])
    (run,) = stored(store)
    if deleted:
        MlflowClient(uri).delete_run(run.run_id)
    assert deliver.main() == 0
    assert [left.run_id for left in stored(store)] == ([] if deleted else [run.run_id])
    assert {path.name for path in run.artifacts.iterdir()} >= {"curves.npz"}
    assert ("1 finished" in small()) == deleted  # a run that the user deleted does not count as finished
    assert len(stored(store)) == 1


def test_a_run_that_is_not_needed_leaves_no_files(store):
    create_store(store)
    small("tracking.offline=true")
    small("tracking.offline=true", "force=true")
    for run_file in outbox.root().rglob(outbox.RUN_FILE):
        run_file.write_text(run_file.read_text().replace('"force": true', '"force": false'))
    assert deliver.main() == 0
    assert_whole(store, 1)
    assert len(list((store.parent / "mlartifacts").iterdir())) == 1


def _two_of_each(n: int):
    """n runs that lie in the outbox twice, as two processes leave them."""
    for _ in range(2):
        small("tracking.offline=true", "force=true", seeds=n)
    for run_file in outbox.root().rglob(outbox.RUN_FILE):
        run_file.write_text(run_file.read_text().replace('"force": true', '"force": false'))
    return [[Delivery(*run) for run in session] for session in outbox.abandoned_runs()]


def test_runs_are_looked_for_again_only_where_somebody_else_has_written(store, monkeypatch):
    uri, looks, look = create_store(store), [], DatabaseStore._with_identities
    monkeypatch.setattr(DatabaseStore, "_with_identities", lambda *given: looks.append(1) or look(*given))
    mine, theirs = _two_of_each(3)
    theirs.sort(key=lambda one: one.finished.params["seed"])
    mine.sort(key=lambda one: one.finished.params["seed"])
    one, other = (DatabaseStore(uri, "optimizers") for _ in range(2))
    one.finished([make_config("epochs=2", "record.points=3", f"seed={seed}").tracked for seed in range(3)])
    for delivery in mine[:2]:
        one.deliver([delivery])
    assert len(looks) == 2  # as it begins, and in its first transaction
    other.deliver(theirs[2:])
    one.deliver(mine[2:])
    other.deliver(theirs)
    assert len(looks) == 5 and len(stored(store)) == 3
    assert len(list((store.parent / "mlartifacts").iterdir())) == 3


def test_a_store_that_is_removed_while_it_is_written_takes_no_run_with_it(store):
    uri = create_store(store)
    first, second = _two_of_each(2)[0]
    opened = DatabaseStore(uri, "optimizers")
    opened.deliver([first])
    for file in store.parent.glob("mlflow.db*"):
        file.unlink()
    with pytest.raises(FileNotFoundError):
        opened.deliver([second])
    database.prepare(uri)
    with pytest.raises(StoreError, match="experiment optimizers is deleted"):
        opened.deliver([second])
    assert deliver.main() == 0
    assert len(stored(store)) == 2


def test_an_experiment_that_was_deleted_is_named_before_anything_runs(store):
    client = MlflowClient(create_store(store))
    client.delete_experiment(client.create_experiment("optimizers"))
    with pytest.raises(ConfigError, match="experiment optimizers is deleted: mlflow experiments restore"):
        small()


def test_an_experiment_of_ours_opens_under_model_training_unless_its_owner_chose_otherwise(store):
    client = MlflowClient(create_store(store))
    client.create_experiment("earlier")
    client.create_experiment("chosen", tags={"mlflow.experimentKind": "genai_development"})
    for name in ("new", "earlier", "chosen"):
        small(f"tracking.experiment={name}")
    kinds = {one.name: one.tags.get("mlflow.experimentKind") for one in client.search_experiments()}
    training = "custom_model_development"
    assert kinds == {"Default": None, "new": training, "earlier": training, "chosen": "genai_development"}


def test_tables_of_the_installed_mlflow_are_known():
    from mlflow.store.db.utils import _get_latest_schema_revision

    assert _get_latest_schema_revision() in schema.TESTED


OLDEST = """
import sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
for run in client.search_runs([one.experiment_id for one in client.search_experiments()]):
    print(run.info.status, run.data.params["seed"], len(client.get_metric_history(run.info.run_id, "train/loss")))
"""


@pytest.mark.slow
def test_a_store_of_the_oldest_mlflow_is_written_and_read_by_it(store, tmp_path):
    (oldest,) = re.findall(r'"mlflow>=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    python = tmp_path / "oldest" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "oldest"], check=True)
    install = [python, "-m", "pip", "install", "--quiet", f"mlflow=={oldest}.0"]
    if subprocess.run(install, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("packages cannot be installed here")
    ask = [python, "-c", OLDEST, f"sqlite:///{store}"]
    assert subprocess.run(ask, check=True, capture_output=True, text=True).stdout == ""
    assert database.prepare(f"sqlite:///{store}") in schema.TESTED
    assert "3 finished" in small(seeds=3)
    told = subprocess.run(ask, check=True, capture_output=True, text=True).stdout
    assert sorted(told.splitlines()) == [f"FINISHED {seed} 3" for seed in range(3)]


def test_tables_that_are_not_known_are_left_to_mlflow(store, monkeypatch, capsys):
    create_store(store)
    monkeypatch.setattr(schema, "TESTED", frozenset({"another"}))
    monkeypatch.setattr(DatabaseStore, "__init__", None)
    assert "3 finished" in small(seeds=3)
    (line,) = capsys.readouterr().err.splitlines()
    assert "its tables are of a revision that was not tested here" in line and str(store) in line
    assert_whole(store, 3)


PAUSED = """
import time
from pathlib import Path
from descent_lab.cli import deliver
from descent_lab.errors import ConfigError, StoreError
from descent_lab.paths import CACHE, ROOT
from descent_lab.tracking import database, outbox

def pause(owner, name, done):
    make = getattr(owner, name)
    def pauses(*arguments, **named):
        if done:
            make(*arguments, **named)
        print("paused", flush=True)
        time.sleep(600)
    setattr(owner, name, pauses)

database.CACHE = Path({cache!r})
pause({owner}, {name!r}, {done})
deliver.main()
"""
MOMENTS = {
    "files in place, nothing claimed": ("database", "_keep_files", True),
    "in the transaction, half written": ("database.DatabaseStore", "_insert_inputs", False),
    "in the transaction, all written": ("database.DatabaseStore", "_insert", True),
    "committed, in the outbox as well": ("database.DatabaseStore", "_write", True),
    "as the tables of a new store are made": ("database", "_create_tables", True),
    "as a new store is about to appear": ("database", "_empty_store", True),
}


@pytest.mark.parametrize(
    "moment", [pytest.param(name, marks=[pytest.mark.slow] * ("made" in name)) for name in MOMENTS]
)
def test_killed_while_it_writes(store, tmp_path, moment):
    """kill -9 at this moment; then the runs are delivered again."""
    owner, name, done = MOMENTS[moment]
    if "new store" not in moment:
        create_store(store)
    small("tracking.offline=true", seeds=3)
    cache = tmp_path if name == "_create_tables" else CACHE
    code = PAUSED.format(owner=owner, name=name, done=done, cache=str(cache))
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "paused\n"
        process.kill()
    assert deliver.main() == 0
    assert_whole(store, 3)
    left = {path.name.removeprefix(store.name) for path in store.parent.iterdir()}
    assert left <= {"", ".lock", "-wal", "-shm", "mlartifacts"}
