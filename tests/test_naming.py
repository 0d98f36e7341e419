"""Names of runs: what differs within a sweep, and only that; the same in progress, failures and MLflow."""

from dataclasses import replace

import pytest

from descent_lab.errors import ConfigError
from descent_lab.sweeps.naming import LONGEST, named
from descent_lab.tracking.study_record import StudyRecord
from tests.harness import make_config

STUDY = StudyRecord({"optimizer.beta1": {}}, "grid", 2, "train/loss", "final", 1, [[0]], [[1, 2]])


def _names(*jobs):
    return [config.name for config in named([make_config(*job) for job in jobs])]


def test_a_name_tells_what_differs_and_only_that():
    grid = [
        (f"optimizer={o}", f"lr={lr}", f"seed={s}") for o in ("sgd", "adam") for lr in ("0.1", "1e-2") for s in (0, 3)
    ]
    assert _names(*grid)[:4] == ["sgd lr=0.1 s0", "sgd lr=0.1 s3", "sgd lr=0.01 s0", "sgd lr=0.01 s3"]
    assert _names(("seed=0",), ("seed=1",)) == ["s0", "s1"]
    assert _names(("seeds.split=0",), ("seeds.split=1",)) == ["split=0", "split=1"]
    assert _names(("model.hidden=[3]",), ("model.hidden=[3,4]",)) == ["model.hidden=[3]", "model.hidden=[3,4]"]
    assert _names(("model.bias=true",), ("model.bias=false",)) == ["model.bias=true", "model.bias=false"]


def test_what_an_optimizer_suggests_or_lacks_is_not_said_again():
    assert _names(("optimizer=sgd",), ("optimizer=adam",)) == ["sgd", "adam"]  # they suggest other learning rates
    entrants = ("backend=jax", "optimizer=sgd"), ("backend=jax", "optimizer=adam"), ("backend=random_search",)
    assert _names(*entrants) == ["jax sgd", "jax adam", "random_search"]
    assert _names(("optimizer=sgd",), ("optimizer=adam",), ("optimizer=adam", "optimizer.beta1=0.5")) == [
        "sgd", "adam beta1=0.9", "adam beta1=0.5"
    ]  # fmt: skip


@pytest.mark.parametrize("lrs", [("0.1", "0.1000000001"), ("1e-3", "0.1", "0.25")])
def test_names_are_unique(lrs):
    names = _names(*((f"lr={lr}",) for lr in lrs))
    assert len(set(names)) == len(lrs)


def test_a_single_run_and_copies_of_one_keep_their_names():
    assert _names(("lr=0.5",)) == ["numpy sgd gaussian lr=0.5 s0"] == list({*_names(("lr=0.5",), ("lr=0.50",))})


def test_a_job_that_was_refused_stays_and_identities_do_not_change():
    refused, configs = ConfigError("no"), [make_config(f"seed={seed}") for seed in range(2)]
    one, other, two = named([configs[0], refused, configs[1]])
    assert other is refused and (one.name, two.name) == ("s0", "s1")
    assert [one.identity, two.identity] == [config.identity for config in configs]


def test_each_launch_of_a_tuned_study_names_what_differs_in_the_study():
    config = make_config("optimizer=adam", "seed=0")
    both = [config, replace(config, lr=0.5, values={**config.values, "lr": 0.5})]
    told = [replace(one, tracking=replace(one.tracking, tuning=STUDY.text)) for one in both]
    assert [one.name for one in named(told)] == [
        "lr=0.001 beta1=0.9 s0", "lr=0.5 beta1=0.9 s0"
    ]  # fmt: skip


def test_a_long_name_is_cut_and_stays_unique():
    names = _names(*((f"model.hidden=[{','.join(['5'] * n)}]",) for n in (150, 151, 2)))
    assert len(set(names)) == 3 and max(map(len, names)) <= LONGEST + 12 < 250
