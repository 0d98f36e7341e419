"""Fixtures of every test, so that no test changes the user's store, the user's outbox or the state of Hydra."""

import signal

import pytest
from hydra.core.global_hydra import GlobalHydra

from descent_lab.loops.program_cache import keep_programs
from descent_lab.paths import CACHE

# A job in the background of a shell ignores ctrl-C, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
keep_programs(CACHE / "jax")  # so that also tests without the command line use compiled programs again


@pytest.fixture(autouse=True)
def store(tmp_path, tmp_path_factory, monkeypatch):
    """The path of the test's own SQLite store, which is not created yet. The outbox is the test's own, too."""
    database = tmp_path_factory.mktemp("store") / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    monkeypatch.setenv("DESCENT_OUTBOX", str(tmp_path / "outbox"))
    return database


@pytest.fixture(autouse=True)
def _no_hydra_left_open():
    yield
    GlobalHydra.instance().clear()


@pytest.fixture(autouse=True)
def _no_summaries(request, monkeypatch):
    """Sweeps in this process write no summary, which takes a second, but for tests with the mark `summaries`."""
    if request.node.get_closest_marker("summaries") is None:
        monkeypatch.setattr("descent_lab.cli.summaries.write", lambda: None)
