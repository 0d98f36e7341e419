"""What MLflow's own pages show of a sweep, in a real browser: charts by the printed link, data sets, descriptions."""

import subprocess
import sys

import pytest
from mlflow import MlflowClient

from descent_lab.paths import ROOT
from tests.stores import create_store, free_port, mlflow_server, wait_until
from tests.test_browser import browser, pytestmark

__all__ = ["browser", "pytestmark"]

SWEEP = ["optimizer=sgd,adam", "seed=range(3)", "epochs=20", "dataset=iris", "tracking.sweep=seen"]
PAGE = "return document.body.innerText.split(/\\s+/).join(' ')"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of MLflow's pages on a store with a sweep, and the path in the link that the sweep ended with."""
    folder = tmp_path_factory.mktemp("served")
    uri = create_store(folder / "mlflow.db")
    words = [sys.executable, "-m", "src.run", "-m", *SWEEP, f"tracking.uri={uri}", "tracking.summary=false"]
    ended = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stderr
    path = ended.strip().rpartition("http://127.0.0.1:5000")[2]
    port = free_port()
    with mlflow_server(folder / "mlflow.db", port):
        yield f"http://127.0.0.1:{port}", path, MlflowClient(uri).search_runs(["1"])[0]


def _shown(browser, address, *texts):
    """Open a page, and wait until it shows these texts."""
    browser.get("about:blank")
    browser.get(address)
    wait_until(lambda: all(text in browser.execute_script(PAGE) for text in texts), 60)
    return browser.execute_script(PAGE)


@pytest.mark.parametrize("width", [1280, 1920])
def test_the_link_opens_curves_by_optimizer_over_seeds(browser, served, width):
    server, path, _ = served
    browser.set_window_size(width, 1000)
    text = _shown(browser, server + path, "Group: adam", "Group: sgd", "Curves (5)", "6 matching runs", "train/loss")
    assert "sweep seen" in text and "best/" not in text.partition("Add section")[0]
    assert "Model registry" in text  # which belongs to the mode for training models


def test_runs_have_data_sets_and_descriptions(browser, served):
    server, path, run = served
    digest = run.inputs.dataset_inputs[0].dataset.digest
    page = path.partition("?")[0]
    _shown(browser, f"{server}{page}?workflowType=machine_learning", run.info.run_name, f"iris ({digest})")
    _shown(browser, f"{server}{page}/{run.info.run_id}", "trains the model mlp with hidden layers of 8 on iris", digest)
