"""The replication report; and the defects of its sources, each written out here and caught by a gradient check."""

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure

from descent_lab.derivatives.backprop import backprop
from descent_lab.derivatives.taylor import forward_mode
from descent_lab.nn.losses import BinaryCrossEntropy, MeanSquaredError
from descent_lab.nn.network import mlp
from descent_lab.paths import ROOT
from descent_lab.problems.objective import Objective
from descent_lab.replication import page
from descent_lab.replication.build import STUDIES, main
from descent_lab.replication.studies import configs, study
from descent_lab.replication.verdicts import Finding, Picture, Section, among, exact

LR = 0.1
S2 = Objective(mlp((3, 5, 5, 1), "tanh", True), MeanSquaredError("identity"), "regression")
S4 = Objective(mlp((2, 4, 1), "tanh", True), MeanSquaredError("identity"), "regression")
S4_SIGN = Objective(S4.network, BinaryCrossEntropy(), "binary")


def case(objective, n=6):
    """theta (n_params,), x (n, n_features) and y (n, 1), which is 0 or 1."""
    rng = np.random.default_rng(3)
    theta = rng.standard_normal(objective.network.n_params)
    return theta, rng.standard_normal((n, objective.network.n_features)), rng.integers(2, size=(n, 1)) * 1.0


def check(objective, theta, x, y, g):
    """Compare the gradient g (n_params,) with central differences."""
    nudges = 1e-5 * np.eye(len(theta))
    wanted = np.array([objective.value(theta + d, x, y)[0] - objective.value(theta - d, x, y)[0] for d in nudges])
    np.testing.assert_allclose(g, wanted / 2e-5, atol=1e-6 * np.abs(wanted / 2e-5).max())


def gradient_followed(update, theta, g):
    """The gradient that an update has really followed, from how it moves theta."""
    return (theta - update(theta.copy(), g)) / LR


def every_bias(theta, g):
    """S2's update as it was meant: it moves every weight and every bias."""
    for k in range(len(theta)):
        theta[k] -= LR * g[k]
    return theta


def leaked_bias(theta, g):
    """S2's update as published: the indices of its loop over weights stay at the last unit, so only its bias moves."""
    names = S2.network.names()
    for k, name in enumerate(names):
        if name.startswith("w"):
            theta[k] -= LR * g[k]
    last = names.index("b_{(3,0)}")
    for _layer in range(3):
        theta[last] -= LR * g[last]
    return theta


def test_the_check_catches_the_leaked_bias_update():
    theta, x, y = case(S2)
    g = forward_mode(S2, 1, theta[None], x[None], y[None]).g[0]
    check(S2, theta, x, y, gradient_followed(every_bias, theta, g))
    with pytest.raises(AssertionError):
        check(S2, theta, x, y, gradient_followed(leaked_bias, theta, g))


def test_the_leaked_update_moves_one_bias_three_times():
    theta, x, y = case(S2)
    g = backprop(S2, theta, x, y).g
    followed, names = gradient_followed(leaked_bias, theta, g), S2.network.names()
    biases = [k for k, name in enumerate(names) if name.startswith("b")]
    np.testing.assert_allclose(followed[biases], [*np.zeros(10), 3 * g[-1]], atol=1e-12)


def layers_by_hand(objective, theta, x, y, defect=None):
    """The gradient of two dense layers with tanh between, as S4 computes it, with one of its defects or with none."""
    (W, b), (V, c) = (block.values() for block in objective.network.blocks(theta))
    h = np.tanh(x @ W + b.T)
    z = h @ V + c.T
    cross_entropy = isinstance(objective.loss, BinaryCrossEntropy)
    dz = (1 / (1 + np.exp(-z)) - y) / len(x) if cross_entropy else 2 * (z - y) / len(x)
    if defect == "opposite sign":
        dz = -dz
    if defect == "last sample only":  # it sums dz over the batch, and takes h and x of one sample
        dz, h, x = dz.sum(0, keepdims=True), h[-1:], x[-1:]
    dV, dc = h.T @ dz, dz.sum(0)
    V_used = V - LR * dV if defect == "after the update" else V
    dh = (dz @ V_used.T) * (1 - h * h)
    return np.concatenate([(x.T @ dh).ravel(), dh.sum(0), dV.ravel(), dc])


@pytest.mark.parametrize("objective", [S4, S4_SIGN], ids=["squared error", "cross-entropy"])
def test_the_layers_by_hand_are_right_without_a_defect(objective):
    theta, x, y = case(objective)
    g = layers_by_hand(objective, theta, x, y)
    check(objective, theta, x, y, g)
    np.testing.assert_allclose(g, backprop(objective, theta, x, y).g, atol=1e-14)


@pytest.mark.parametrize(
    ("objective", "defect"),
    [(S4, "last sample only"), (S4_SIGN, "opposite sign"), (S4, "after the update")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_check_catches_the_defects_of_the_layers(objective, defect):
    theta, x, y = case(objective)
    with pytest.raises(AssertionError):
        check(objective, theta, x, y, layers_by_hand(objective, theta, x, y, defect))


def test_online_the_last_sample_is_the_batch():
    """So the mini-batch defect does not affect S4's published runs, whose steps take one sample each."""
    theta, x, y = case(S4, n=1)
    check(S4, theta, x, y, layers_by_hand(S4, theta, x, y, "last sample only"))


# The tests below are of the report.


def test_an_exact_figure_is_judged_by_its_tolerance():
    assert exact("S", "f", 1.0, 1.0 + 1e-15, 1e-14).verdict == "reproduced"
    assert exact("S", "f", 1.0, 1.0 + 1e-13, 1e-14).verdict == "not reproduced"


def test_a_figure_has_its_place_among_seeds():
    values = np.arange(1000.0)
    middle, low = (among("S", "f", value, values) for value in (500.0, 1.0))
    assert middle.verdict == "inside the central 99 %" and middle.percentile == pytest.approx(50, abs=0.1)
    assert low.verdict == "outside the central 99 %" and low.percentile < 0.5
    assert (middle.low, middle.high) == pytest.approx((4.995, 994.005))


def test_few_seeds_have_a_range():
    assert among("S", "f", 2.5, np.array([1.0, 2.0, 3.0, 2.0])).verdict == "inside the range of 4 seeds"
    assert among("S", "f", 4.0, np.array([1.0, 2.0, 3.0, 2.0])).verdict == "outside the range of 4 seeds"


@pytest.mark.parametrize("name", STUDIES)
def test_studies_have_all_that_the_report_needs(name):
    values = study(name)
    assert set(values) >= {"title", "source", "question", "runs", "seeds", "published"}
    assert all(line.startswith("python -m src.run ") for line in values["runs"])
    named = {word.removeprefix("+experiment=") for line in values["runs"] for word in line.split() if "+exp" in word}
    assert all((ROOT / "conf" / "experiment" / f"{experiment}.yaml").is_file() for experiment in named)


def test_configurations_are_those_of_the_command_line():
    one, other = configs(["+experiment=gaussian_curve", "epochs=3"], [4, 5])
    assert (one.seed, other.seed, one.epochs, one.dtype) == (4, 5, 3, "float32") and one.identity != other.identity


def test_the_page_is_whole(tmp_path):
    finding = Finding("S1", "loss <1>", "1.0", "1.1", "outside", "a note & more", 200, 12.5)
    section = Section(STUDIES[0], [finding], ["Said."], {"picture": Picture(Figure((2, 1)), "A 'caption'")})
    written = page.write(tmp_path, {name: study(name) for name in STUDIES}, [section])
    assert {path.name for path in written} >= {"index.html", "replication.md", "findings.csv", "picture.svg"}
    html = (tmp_path / "index.html").read_text()
    assert "loss &lt;1&gt;" in html and "data:image/png;base64," in html and "http" not in html.replace("w3.org", "")
    assert "| S1 | loss <1> | 1.0 | 1.1 | 12 % of 200 | outside |" in (tmp_path / "replication.md").read_text()


def test_the_committed_table_has_every_published_figure():
    said = (ROOT / "experiments" / "REPLICATION.md").read_text()
    golden = yaml.safe_load((ROOT / "experiments" / "which_polynomial.yaml").read_text())["published"]["golden_loss"]
    for figure in (repr(golden), "0.104287051", "5.7393837", "2.1e-26", "95.00034", "9.12", "522.8", "0.8934603"):
        assert figure in said


def test_bad_options_are_refused():
    for options in (["--seeds", "1"], ["--no-such-option"]):
        with pytest.raises(SystemExit) as refused:
            main(options)
        assert refused.value.code == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy
def test_the_report_is_written_and_nothing_is_run_twice(tmp_path, capfd):
    options = ["--seeds", "2", "--output", str(tmp_path / "report"), "--table", str(tmp_path / "table.md")]
    assert main(options) == 0 and (tmp_path / "report" / "index.html").is_file()
    first = (tmp_path / "table.md").read_text()
    capfd.readouterr()
    assert main(options) == 0 and (tmp_path / "table.md").read_text() == first
    assert "steps/s" not in capfd.readouterr().err  # no progress: there was nothing to train
