"""Fixtures of every test: nothing a test does reaches the real store, outbox or global Hydra state."""

import pytest
from hydra.core.global_hydra import GlobalHydra

from descent_lab.loops.program_cache import keep_programs
from descent_lab.paths import CACHE

keep_programs(CACHE / "jax")  # tests that train without the command line use what was compiled before, too


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """A tracking store and an outbox of the test's own; gives the path of the database, not created yet."""
    database = tmp_path / "store" / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    monkeypatch.setenv("DESCENT_OUTBOX", str(tmp_path / "outbox"))
    return database


@pytest.fixture(autouse=True)
def _no_hydra_left_open():
    yield
    GlobalHydra.instance().clear()
