"""Identities of runs: golden values, which must never change; what is inside an identity, and what is outside."""

from dataclasses import dataclass

import numpy as np
import pytest
from harness import make_config

from descent_lab.components import neutral
from descent_lab.optim import SGD
from descent_lab.sweeps.config import parse
from descent_lab.sweeps.identity import digest

# Whoever changes one of these makes finished runs train again in every store: there must be a reason for it, and
# CHANGELOG must say so.
GOLDEN = {
    "": "1beee8d3b93243211797",
    "optimizer=adam lr=0.01 seed=3": "d6b15d80f895cfe2b13f",
    "backend=jax dataset=digits batching=minibatch optimizer=nadam schedule=cosine": "2d3864f731edca20d8ca",
    "backend=taylor backend.order=2 optimizer=newton dataset=product": "2251f1898beec59bf4dc",
    "backend=random_search dataset=polynomials stream=legacy": "775b269d020074319608",
    "backend=random_search backend.arrays=numpy dataset=sign": "058c677cf6c3bab6c8e2",
    "dataset=iris init=he model.batch_norm=true batching=minibatch optimizer=lion": "3cb34ec0659f1292699f",
    "dataset=diabetes init=jax_key dtype=float32 optimizer=rmsprop schedule=warmup_cosine": "d9748dddb028e4241358",
    "dataset=line model=linear optimizer=momentum stop.target=0.1 record.every=10": "6c63d72900b159c52112",
    "dataset=csv optimizer=adagrad batching=online epochs=5": "e1dab4a922b772a39267",
}


@pytest.mark.parametrize("overrides", GOLDEN)
def test_identities_are_what_they_were(overrides):
    assert make_config(*overrides.split()).identity == GOLDEN[overrides]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("lr=1", "lr=1.0"),
        ("optimizer.weight_decay=0", "optimizer.weight_decay=0.0"),
        ("optimizer.clip_norm=2", "optimizer.clip_norm=2.0"),
        ("schedule=step schedule.size=7", "schedule=step schedule.size=7.0"),
        ("model.hidden=[4]", "model.hidden=[4.0]"),
        ("lr=0.1", "lr=0.1 engine=processes tracking.experiment=other force=true debug=true dry_run=true"),
    ],
)
def test_values_that_are_the_same_are_one_identity_with_the_same_parameters(one, other):
    first, second = make_config(*one.split()), make_config(*other.split())
    assert first.identity == second.identity
    for name in first.params.keys() & {word.partition("=")[0] for word in one.split()}:
        assert first.params[name] == second.params[name]


@pytest.mark.parametrize(
    "override",
    [
        "lr=0.2",
        "seed=1",
        "epochs=3",
        "optimizer=adam",
        "dtype=float32",
        "record.points=7",
        "init=he",
        "stop.target=1",
        "seeds.order=0",
    ],
)
def test_what_can_change_a_curve_changes_the_identity(override):
    assert make_config(override).identity != make_config().identity


def test_a_class_that_moves_keeps_its_identity_and_one_that_is_another_does_not(monkeypatch):
    config = make_config("optimizer=sgd")
    before = config.identity
    moved = {**config.values, "optimizer": {**config.values["optimizer"], "_target_": "src.optimizers.SGD"}}
    assert parse(moved, config.choices).identity == before

    @dataclass(frozen=True, kw_only=True)
    class Elsewhere(SGD):
        """The same rule under another name, in another module."""

        kind = "sgd"

    monkeypatch.setattr("descent_lab.optim.first_order.SGD", Elsewhere)
    assert parse(config.values, config.choices).identity == before
    monkeypatch.setattr(Elsewhere, "kind", "another")
    assert parse(config.values, config.choices).identity != before


def test_an_option_that_came_later_counts_only_beyond_its_neutral_default():
    @dataclass(frozen=True, kw_only=True)
    class Before:
        size: int = 1

    @dataclass(frozen=True, kw_only=True)
    class After(Before):
        later: float = neutral(0.0)

    @dataclass(frozen=True, kw_only=True)
    class New:
        later: float = neutral(0.0)

    before = digest({"part": Before()})
    assert digest({"part": After()}) == digest({"part": After(later=0), "new": New()}) == before
    assert len({before, digest({"part": After(later=1)}), digest({"part": Before(), "new": New(later=1)})}) == 3


def test_the_content_of_a_file_counts_and_its_place_does_not(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    for name in ("a.csv", "below/b.csv"):
        np.savetxt(tmp_path / name, np.arange(24.0).reshape(8, 3), delimiter=",", header="a,b,y", comments="")
    monkeypatch.chdir(tmp_path)

    def identity(path):
        return make_config("dataset=csv", f"dataset.path={path}", "dataset.target=y").identity

    same = {identity(path) for path in ("a.csv", "./a.csv", tmp_path / "a.csv", "below/b.csv")}
    assert len(same) == 1
    with open("below/b.csv", "a") as file:
        file.write("1,2,3\n")
    assert identity(tmp_path / "below" / "b.csv") not in same
