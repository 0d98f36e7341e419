"""Tuned sweeps as the command line asks for them: spaces by entrant, what is stored and resumed, what is said."""

from dataclasses import replace

import pytest
from harness import choices

import descent_lab as dl
from descent_lab.cli import run
from descent_lab.cli.composition import composer, sweep_of
from descent_lab.cli.tuned import SweeperOptions, planned
from descent_lab.sweeps.cautions import Tuned, cautions
from descent_lab.sweeps.space import Interval, Values
from descent_lab.tracking import outbox
from descent_lab.tracking.study_record import StudyRecord

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy
SMALL = ["dataset.n_samples=30", "epochs=2", "model.hidden=[3]", "record.points=4"]
LR = Interval(1e-3, 10.0, "log")
MU = Values((0.0, 0.5, 0.9, 0.95))


@pytest.fixture
def command(capfd):
    """`python -m src.run <arguments>` in this process: its exit code, and the lines that it printed."""

    def call(*arguments: str) -> tuple[int, list[str]]:
        capfd.readouterr()
        code = run.main(arguments)
        answer = capfd.readouterr()
        return code, [*answer.out.splitlines(), *answer.err.splitlines()]

    return call


def read(store):
    """The runs of a store, a row each."""
    return dl.load(f"sqlite:///{store}").runs


def plan(*words):
    """The entrants' spaces by their words, of `-m hydra.sweeper.tuned=space <words>`."""
    asked = sweep_of(["hydra.sweeper.tuned=space", *words])
    names = SweeperOptions.__dataclass_fields__
    sweep = planned(asked.words, SweeperOptions(**{name: asked.options[name] for name in names}), composer())
    return {" ".join(sweep.name(entrant.words)): entrant.space for entrant in sweep.entrants}


# --- spaces ---------------------------------------------------------------------------------------------------


def test_options_differ_by_entrant_in_one_sweep():
    spaces = plan("optimizer=sgd,momentum", "backend=numpy,random_search")
    assert spaces["optimizer=sgd backend=numpy"] == {"lr": LR}
    assert spaces["optimizer=momentum backend=numpy"] == {"lr": LR, "optimizer.mu": MU}
    for optimizer in ("sgd", "momentum"):
        assert spaces[f"optimizer={optimizer} backend=random_search"] == {"lr": Interval(1e-4, 1.0, "log")}


@pytest.mark.parametrize("name", choices("optimizer"))
def test_every_optimizer_has_a_space(name):
    (space,) = plan(f"optimizer={name}", "backend=jax").values()
    assert isinstance(space["lr"], Interval) and space["lr"].scale == "log"


def test_the_command_line_changes_the_space_of_one_entrant_or_of_all():
    spaces = plan(
        "optimizer=sgd,momentum,adam",
        "hydra.sweeper.space.momentum.optimizer.mu=0,0.9",
        "hydra.sweeper.space.momentum.lr.high=1",
        "hydra.sweeper.space.adam.lr=tag(log, interval(0.001, 0.1))",
        "hydra.sweeper.space.adam.optimizer.beta1=null",
        "hydra.sweeper.space.all.batching.size={low:4,high:16,integer:true}",
        "hydra.sweeper.space.all.optimizer.weight_decay=[0,0.1]",
    )
    size, decay = Interval(4, 16, "linear", True), Values((0, 0.1))
    both = {"batching.size": size, "optimizer.weight_decay": decay}
    assert spaces["optimizer=sgd"] == {"lr": LR} | both
    momentum = {"lr": Interval(1e-3, 1.0, "log"), "optimizer.mu": Values((0, 0.9))}
    assert spaces["optimizer=momentum"] == momentum | both
    adam = {"lr": Interval(1e-3, 0.1, "log"), "optimizer.beta2": Values((0.9, 0.99, 0.999))}
    assert spaces["optimizer=adam"] == adam | both


def test_values_that_are_swept_are_those_of_every_space_and_a_single_one_is_not_tuned():
    spaces = plan("optimizer=sgd,momentum", "lr=0.1,0.01", "optimizer.mu=0.8,0.9")
    assert spaces == {
        "optimizer=sgd": {"lr": Values((0.1, 0.01))},
        "optimizer=momentum": {"lr": Values((0.1, 0.01)), "optimizer.mu": Values((0.8, 0.9))},
    }
    assert plan("optimizer=momentum", "lr=0.1") == {"": {"optimizer.mu": MU}}


def test_a_yaml_of_ones_own_brings_its_space(command, tmp_path):
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "derived.yaml").write_text("defaults: [momentum]\nspace: {optimizer.mu: [0.1, 0.2]}\n")
    space = "space: {lr: {low: 1e-3, high: 0.1, scale: log}, optimizer.beta1: null}\n"
    (tmp_path / "optimizer" / "mine.yaml").write_text(f"_target_: descent_lab.optim.adam.Adam\n{space}")
    words = ["optimizer=derived,mine", "hydra.sweeper.tuned=space", "dry_run=true"]
    code, said = command("-m", "--config-dir", str(tmp_path), *words)
    assert code == 0 and said[1:3] == [
        "  optimizer=derived: lr from 0.001 to 10 (log), optimizer.mu one of 0.1, 0.2",
        "  optimizer=mine: lr from 0.001 to 0.1 (log), optimizer.beta2 one of 0.9, 0.99, 0.999",
    ]


def test_an_optimizer_without_a_space_is_searched_around_its_suggested_lr(command, tmp_path, monkeypatch):
    (tmp_path / "plain_rule.py").write_text(
        "from dataclasses import dataclass\nimport descent_lab as dl\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Plain(dl.Optimizer):\n    suggested_lr = 0.5\n\n"
        "    def init(self, theta):\n        return ()\n\n"
        "    def update(self, g, state, theta, lr):\n        return -lr * g, state\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "plain.yaml").write_text("_target_: plain_rule.Plain\n")
    words = ["plugins.allow=[plain_rule]", "optimizer=plain", "hydra.sweeper.tuned=space", "dry_run=true"]
    code, said = command("-m", "--config-dir", str(tmp_path), *words)
    assert code == 0 and said[1] == "  all: lr from 0.005 to 50 (log)"


# --- whole commands -------------------------------------------------------------------------------------------

STUDY = [*SMALL, "optimizer=sgd,momentum", "hydra.sweeper.tuned=space", "hydra.sweeper.trials=3"]
BLOCKS = ["hydra.sweeper.blocks=2", "hydra.sweeper.tuning_seeds=range(4)", "hydra.sweeper.held_out_seeds=range(7,9)"]


def test_a_study_without_numbers_is_stored_with_its_plan_and_done_once(command, store):
    code, said = command("-m", *STUDY, *BLOCKS)
    assert code == 0 and said[0].startswith("2 entrants, 3 quasi-random settings each, chosen by train/loss (final)")
    assert [line.split()[:2] for line in said if line.startswith("best:")] == [
        ["best:", "optimizer=sgd"],
        ["best:", "optimizer=momentum"],
    ]
    runs = read(store)
    assert runs["sweep"].nunique() == 1
    counts = runs.groupby(["optimizer", "tracking.phase", "tracking.block"]).size().to_dict()
    assert counts == {
        (name, phase, block): n
        for name in ("sgd", "momentum")
        for phase, n in (("tuning", 3 * 2), ("evaluation", 1))
        for block in "01"
    }
    for run_ in runs.to_dict("records"):
        record = StudyRecord.read(run_["tracking.tuning"])
        assert record.place(run_["seed"]) == (run_["tracking.phase"], int(run_["tracking.block"]))
        assert (record.search, record.trials, record.by, record.blocks) == ("quasi_random", 3, "train/loss", 2)
    code, again = command("-m", *STUDY, *BLOCKS)
    assert code == 0 and [line for line in again if line.startswith("best:")] == [
        line for line in said if line.startswith("best:")
    ]
    assert sum(" 0 diverged, 0 failed, " in line and line.startswith("0 finished") for line in again) == 2
    assert len(read(store)) == len(runs)


def test_runs_of_a_study_that_wait_in_the_outbox_or_lie_in_the_store_count_as_they_did(command, store):
    """By the steps to a target, which are read from curves."""
    words = ["-m", *STUDY, *BLOCKS, "tuning.target=1.0", "tuning.at=best"]
    code, said = command(*words, "tracking.offline=true")
    chosen = [line for line in said if line.startswith("best:")]
    assert code == 3 and len(outbox.undelivered_runs()) == 28
    assert [line for line in command(*words, "tracking.offline=true")[1] if line.startswith("best:")] == chosen
    code, said = command(*words)
    assert code == 0 and [line for line in said if line.startswith("best:")] == chosen
    assert len(read(store)) == 28


def test_an_entrant_that_is_refused_stops_no_other(command, store):
    code, said = command("-m", *STUDY, *BLOCKS, "optimizer=sgd,newton", "backend=numpy")
    assert code == 1 and sum("needs derivatives of order 2" in line for line in said) == 1
    assert [line.split()[1] for line in said if line.startswith("best:")] == ["optimizer=sgd"]


def test_a_dry_run_shows_the_plan(command, store):
    code, said = command("-m", *STUDY, *BLOCKS, "dry_run=true")
    assert code == 0 and "2 blocks of 2 tuning and 1 held-out seeds: 24 runs to tune and 4 to judge" in said[0]
    assert said[1:3] == [
        "  optimizer=sgd: lr from 0.001 to 10 (log)",
        "  optimizer=momentum: lr from 0.001 to 10 (log), optimizer.mu one of 0, 0.5, 0.9, 0.95",
    ]
    assert not store.exists() or read(store).empty


def test_optuna_tunes_each_block_by_itself(command, store):
    pytest.importorskip("optuna")
    code, _ = command("-m", *STUDY, *BLOCKS, "hydra.sweeper.search=optuna", "optimizer=sgd")
    runs = read(store)
    runs = runs[runs["tracking.phase"] == "tuning"]
    tried = [set(runs.loc[runs["tracking.block"] == block, "lr"]) for block in "01"]
    assert code == 0 and len(runs) == 12 and [len(lrs) for lrs in tried] == [3, 3] and tried[0] != tried[1]


def test_settings_are_chosen_by_the_validation_set_where_there_is_one(command, store):
    code, said = command("-m", *STUDY, *BLOCKS, "dataset.validation_fraction=0.2", "optimizer=sgd")
    assert code == 0 and "chosen by validation/loss (final)" in said[0]
    assert {StudyRecord.read(text).by for text in read(store)["tracking.tuning"]} == {"validation/loss"}


def test_a_sweep_in_memory_tunes_as_the_command_line_does():
    words = [*SMALL, "optimizer=sgd,momentum", "hydra.sweeper.trials=2", *BLOCKS[1:]]
    results = dl.sweep(words, tuned="space", blocks=2)
    runs = results.runs
    assert len(runs) == 2 * (2 * 4 + 2) and set(results.best) == {("optimizer=sgd",), ("optimizer=momentum",)}
    assert sorted(runs[runs["tracking.phase"] == "evaluation"]["tracking.block"]) == ["0", "0", "1", "1"]
    assert [word.partition("=")[0] for word in results.best["optimizer=momentum",]] == ["lr", "optimizer.mu"]
    assert dl.sweep([*words, "lr=0.1,0.01"], tuned=["lr"]).best.keys() == results.best.keys()


# --- cautions -------------------------------------------------------------------------------------------------

SGD = Tuned("iris", "sgd", {"lr": LR}, [{"lr": 0.1}, {"lr": 0.2}], 16, "sgd")
NARROW = replace(SGD, space={"lr": Interval(0.01, 0.5, "log")})
MOMENTUM = Tuned(
    "iris",
    "momentum",
    {"lr": LR, "optimizer.mu": MU},
    [{"lr": 0.1, "optimizer.mu": 0.9}],
    16,
    "momentum",
    {"mu": 0.9},
    {"sgd": {"mu": 0.0}},
)


CAUTIONED = {
    "nothing": ([SGD, MOMENTUM], []),
    "upper edge": ([replace(SGD, chosen=[{"lr": 9.0}, {"lr": 0.1}])], ["edge"]),
    "lower edge": ([replace(SGD, chosen=[{"lr": 0.0011}])], ["edge"]),
    "edge in few blocks": ([replace(SGD, chosen=[{"lr": 9.0}, {"lr": 0.1}, {"lr": 0.1}])], []),
    "edge of a list": ([replace(MOMENTUM, chosen=[{"lr": 0.1, "optimizer.mu": 0.95}])], ["edge"]),
    "mu = 0 is no edge": ([replace(MOMENTUM, chosen=[{"lr": 0.1, "optimizer.mu": 0.0}])], []),
    "two values are no range": ([replace(SGD, space={"lr": Values((0.1, 0.2))})], []),
    "all diverged": ([replace(SGD, chosen=[{}, {"lr": 0.1}])], ["all diverged"]),
    "widths": (
        [SGD, replace(SGD, entrant="adam", kind="adam", space={"lr": Interval(0.01, 0.5, "log")})],
        ["unequal spaces"],
    ),
    "widths of other problems": (
        [SGD, replace(SGD, problem="wine", space={"lr": Interval(0.01, 0.5, "log")})],
        [],
    ),
    "widths within a factor": (
        [SGD, replace(SGD, entrant="b", kind="b", space={"lr": Interval(0.01, 1.0, "log")})],
        [],
    ),
    "mu without 0": ([SGD, replace(MOMENTUM, space={"lr": LR, "optimizer.mu": Values((0.5, 0.9))})], ["not included"]),
    "mu not tuned": ([SGD, replace(MOMENTUM, space={"lr": LR})], ["not included"]),
    "mu fixed at 0": ([SGD, replace(MOMENTUM, space={"lr": LR}, options={"mu": 0.0})], []),
    "a shorter interval of lr": (
        [SGD, replace(MOMENTUM, space={"lr": Interval(1e-3, 1.0, "log"), "optimizer.mu": MU})],
        ["not included"],
    ),
}


@pytest.mark.parametrize("case", CAUTIONED)
def test_cautions_are_given_where_a_space_weakens_the_comparison_and_nowhere_else(case):
    tuned, warnings = CAUTIONED[case]
    assert [caution.warning for caution in cautions(tuned)] == warnings
