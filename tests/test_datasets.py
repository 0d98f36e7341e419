"""Data sets: published values, splits, standardisation, and every error message about a user's file."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
from harness import choices, read_choice, values_of
from pydantic import TypeAdapter, ValidationError

from descent_lab.data.builtin.bundled import BundledClassification, BundledRegression
from descent_lab.data.builtin.mnist1d import Mnist1d, samples
from descent_lab.data.builtin.polynomials import POLYNOMIALS, Polynomial, Polynomials
from descent_lab.data.builtin.product import Product
from descent_lab.data.files.csv_file import CsvFile
from descent_lab.data.files.npz_file import NpzFile
from descent_lab.data.memory import arrays
from descent_lab.data.splits import split_rows
from descent_lab.data.targets import as_targets
from descent_lab.errors import DataError
from descent_lab.portable.scaling import Scaling

ARRAYS = ("x_train", "y_train", "x_validation", "y_validation", "x_test", "y_test")


def build(name, /, **changes):
    """The data set of conf/dataset/<name>.yaml, with some of its options changed."""
    options = values_of("dataset", name) | changes
    module, cls = options.pop("_target_").rsplit(".", 1)
    return TypeAdapter(getattr(importlib.import_module(module), cls)).validate_python(options)


def load(dataset, seed=0):
    data, split = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    return dataset.load(data, split)


def write(path, text):
    path.write_text(text)
    return str(path)


# --- every data set in conf/dataset -------------------------------------------------------------------------


@pytest.fixture
def own_files(tmp_path):
    """The options that a user must give for csv and npz, with files that exist."""
    x = np.random.default_rng(1).standard_normal((40, 3))
    y = (x.sum(axis=1) > 0).astype(int)
    rows = "\n".join(f"{a},{b},{c},{'yes' if label else 'no'}" for (a, b, c), label in zip(x, y, strict=True))
    csv_path = write(tmp_path / "own.csv", f"a,b,c,answer\n{rows}\n")
    np.savez(tmp_path / "own.npz", x=x, y=y)
    return {"csv": {"path": csv_path, "target": "answer"}, "npz": {"path": str(tmp_path / "own.npz")}}


@pytest.mark.parametrize("name", choices("dataset"))
def test_every_dataset_keeps_the_contract(name, own_files):
    dataset = build(name, **own_files.get(name, {}))
    loaded = load(dataset)
    for array in ARRAYS:
        values = getattr(loaded, array)
        assert values.dtype == np.float64 and values.ndim == 2 and np.isfinite(values).all()
        assert bool(len(values)) == ("validation" not in array)
    assert loaded.x_train.shape[1] == loaded.x_test.shape[1] == len(loaded.features)
    assert len(loaded.x_train) == len(loaded.y_train) and len(loaded.x_test) == len(loaded.y_test)
    n_outputs = {"regression": loaded.y_train.shape[1], "binary": 1, "multiclass": len(loaded.classes)}
    assert loaded.y_train.shape[1] == loaded.y_test.shape[1] == n_outputs[loaded.task]
    check_labels(loaded)
    again = load(dataset)
    assert all(np.array_equal(getattr(loaded, array), getattr(again, array)) for array in ARRAYS)


@pytest.mark.parametrize("name", choices("dataset"))
def test_every_dataset_can_hold_out_validation_rows(name, own_files):
    """They are former training rows; the test rows stay, and only training rows set the scale."""
    plain = load(build(name, **own_files.get(name, {})))
    held = load(build(name, validation_fraction=0.3, **own_files.get(name, {})))
    assert list(plain.parts) == ["train", "test"] and list(held.parts) == ["train", "validation", "test"]
    np.testing.assert_allclose(raw_rows(held, "test"), raw_rows(plain, "test"), atol=1e-9)
    before, train, validation = raw_rows(plain, "train"), raw_rows(held, "train"), raw_rows(held, "validation")
    own_test = name in ("line", "plane", "space", "sign", "polynomials", "product", "mnist1d")
    n = len(before) + (0 if own_test else len(plain.x_test))
    assert len(validation) == round(0.3 * n) and len(train) + len(validation) == len(before)
    np.testing.assert_allclose(in_order(np.concatenate([train, validation])), in_order(before), atol=1e-9)
    if held.x_scaling is not None:
        np.testing.assert_allclose(held.x_train.mean(axis=0), 0, atol=1e-12)
        assert np.abs(held.x_validation.mean(axis=0)).max() > 1e-6
    check_labels(held)
    other = load(build(name, validation_fraction=0.3, **own_files.get(name, {})), seed=1)
    assert not np.array_equal(raw_rows(other, "validation"), validation)


def raw_rows(loaded, part):
    """The samples of a part as they were before scaling: features and targets side by side."""
    x, y = loaded.parts[part]
    x = x if loaded.x_scaling is None else loaded.x_scaling.invert(x)
    return np.hstack([x, y if loaded.y_scaling is None else loaded.y_scaling.invert(y)])


def in_order(rows):
    """The rows sorted, whatever their rounding."""
    return rows[np.lexsort(rows.round(9).T)]


def check_labels(loaded):
    y = np.concatenate([loaded.y_train, loaded.y_validation, loaded.y_test])
    if loaded.task == "regression":
        assert loaded.classes == ()
        return
    assert np.isin(y, (0, 1)).all() and len(loaded.classes) >= 2
    assert (loaded.task == "binary") == (len(loaded.classes) == 2)
    assert loaded.task == "binary" or (y.sum(axis=1) == 1).all()
    assert np.ptp(loaded.y_train, axis=0).all(), "a class is absent from the training rows"


@pytest.mark.parametrize("name", choices("dataset"))
def test_every_config_suggests_a_network(name):
    suggested = read_choice("dataset", name)["suggested"]
    assert set(suggested) == {"hidden", "activation", "bias"}
    assert suggested["activation"] in {"identity", "relu", "sigmoid", "tanh"}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gaussian", {"n_samples": 1}),
        ("gaussian", {"test_fraction": 0}),
        ("gaussian", {"test_fraction": 1.0}),
        ("gaussian", {"test_fraction": float("nan")}),
        ("gaussian", {"n_sample": 250}),
        ("iris", {"validation_fraction": 1.0}),
        ("line", {"validation_fraction": -0.1}),
        ("product", {"n_test": 0}),
        ("product", {"sample": [1, 2]}),
        ("product", {"sample": [1, 2, float("inf")]}),
        ("line", {"last": 0}),
        ("line", {"slopes": []}),
        ("line", {"test_last": 29}),
        ("iris", {"name": "diabetes"}),
        ("csv", {"path": "", "target": "y"}),
        ("csv", {"path": "own.csv", "target": []}),
        ("csv", {"path": "own.csv", "target": "y", "task": "clustering"}),
    ],
)
def test_bad_options_are_refused(name, changes):
    with pytest.raises(ValidationError):
        build(name, **changes)


# --- published values ---------------------------------------------------------------------------------------


def test_gaussian_is_exp_of_minus_x_squared():
    loaded = load(build("gaussian"))
    assert (len(loaded.x_train), len(loaded.x_test)) == (200, 50)
    x = np.sort(np.concatenate([loaded.x_train, loaded.x_test])[:, 0])
    np.testing.assert_array_equal(x, np.linspace(-10, 10, 250))
    np.testing.assert_allclose(np.log(loaded.y_test), -(loaded.x_test**2), atol=1e-13)


def test_product_values_and_single_sample():
    many, one = load(build("product")), load(build("product", sample=[1, 2, 4]))
    assert many.x_train.shape == (10, 3) and np.abs(many.x_train).max() <= 1
    np.testing.assert_array_equal(one.x_train, [[1, 2, 4]])
    np.testing.assert_array_equal(one.y_train, [[6]])
    np.testing.assert_array_equal(one.x_test, many.x_test)
    x1, x2, x3 = many.x_test.T
    np.testing.assert_array_equal(many.y_test[:, 0], x1 * x2 + x3 / 2 + 2)


@pytest.mark.parametrize(
    ("name", "n_features", "train", "test"),
    [
        ("line", 1, (8, 32, 9), (95, 125, 11)),
        ("plane", 2, (13, 77, 9), (325, 397, 10)),
        ("space", 3, (18, 122, 9), (525, 642, 10)),
    ],
)
def test_linear_truths(name, n_features, train, test):
    loaded = load(build(name))
    assert loaded.x_train.shape[1] == n_features and np.ptp(loaded.x_test, axis=1).max() == 0
    for y, (first, last, n) in ((loaded.y_train, train), (loaded.y_test, test)):
        np.testing.assert_array_equal(y[:, 0], np.linspace(first, last, n))


def test_line_can_reach_ten():
    np.testing.assert_array_equal(load(build("line", last=10)).x_train[:, 0], np.arange(1, 11))


def test_sign_labels():
    loaded = load(build("sign"))
    np.testing.assert_array_equal(loaded.x_train[:, 0], [50, -1, 10, -10, -15, -20, 20, 17])
    np.testing.assert_array_equal(loaded.y_train[:, 0], [1, 0, 1, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(loaded.x_test[:, 0], [-100, -510, 1, 100, -1000, -2, 29, 67])
    np.testing.assert_array_equal(loaded.y_test[:, 0], [0, 0, 1, 1, 0, 0, 1, 1])


# --- polynomials --------------------------------------------------------------------------------------------

PRINTED = (
    "3x + 1",
    "-2x - 3",
    "4x^2 - x - 2",
    "-x^2 + 2x",
    "3x^2 + 2",
    "x^3 - x^2 + 3x + 2",
    "-3x^3 + x^2",
    "2x^3 + x - 2",
    "5x^4 - 3x^3 + x^2 - 2x + 2",
    "-2x^4 - 3x^3 + 4x + 1",
    "x^4 - 4x^2 + 2x + 3",
    "x^4 - 2",
)


def test_the_twelve_polynomials_print():
    assert tuple(map(str, POLYNOMIALS)) == PRINTED == load(build("polynomials")).classes


@pytest.mark.parametrize(
    ("coefficients", "printed"),
    [((-1, 0, 1), "-x^2 + 1"), ((0,), "0"), ((), "0"), ((0, 0, -7), "-7"), ((-1, 0.5), "-x + 0.5")],
)
def test_other_polynomials_print(coefficients, printed):
    assert str(Polynomial(coefficients)) == printed


@pytest.mark.parametrize("p", POLYNOMIALS, ids=str)
def test_polynomial_values(p):
    x = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(p(x), np.polyval(p.coefficients, x), rtol=1e-14)


def test_polynomials_lie_on_their_curves():
    loaded = load(Polynomials(n_samples=7, n_test=5))
    assert loaded.x_train.shape == (84, 2) and loaded.x_test.shape == (60, 2)
    np.testing.assert_array_equal(loaded.x_test[:5, 0], [-1, -0.5, 0, 0.5, 1])
    for x, y in ((loaded.x_train, loaded.y_train), (loaded.x_test, loaded.y_test)):
        labels = y.argmax(axis=1)
        assert (np.diff(labels) >= 0).all()
        np.testing.assert_array_equal(x[:, 1], [POLYNOMIALS[k](a) for k, a in zip(labels, x[:, 0], strict=True)])


def test_legacy_stream_reaches_the_published_loss():
    stream, scalars = np.random.RandomState(0), np.random.RandomState(0)
    loaded = Polynomials(n_samples=100, n_test=5).load(stream, stream)
    drawn = [scalars.uniform(-1, 1) for _ in range(1200)]
    np.testing.assert_array_equal(loaded.x_train[:, 0], drawn)
    w1, w2 = 0.1 * stream.randn(2, 12), 0.1 * stream.randn(12, 12)
    logits = np.maximum(loaded.x_train @ w1, 0) @ w2
    losses = np.log(np.exp(logits).sum(axis=1)) - (logits * loaded.y_train).sum(axis=1)
    assert losses.mean() == pytest.approx(2.4942046014713335, rel=1e-14)


# --- splits, pairing, standardisation -----------------------------------------------------------------------


@pytest.mark.parametrize("stream", [np.random.default_rng, np.random.RandomState])
@pytest.mark.parametrize(
    ("n", "fractions", "sizes"), [(250, (0.2, 0.1), (25, 50)), (2, (0.5, 0), (0, 1)), (7, (0.3, 0.3), (2, 2))]
)
def test_split_covers_every_row_once(stream, n, fractions, sizes):
    train, validation, test = split_rows(n, *fractions, stream(3))
    assert (len(validation), len(test)) == sizes
    np.testing.assert_array_equal(np.concatenate([train, validation, test]), stream(3).permutation(n))
    np.testing.assert_array_equal(test, split_rows(n, fractions[0], 0.0, stream(3)).test)


@pytest.mark.parametrize(
    ("n", "fractions", "message"),
    [
        (3, (0.1, 0), "test_fraction 0.1 of 3 rows leaves 3 for training and 0 for the test"),
        (3, (0.9, 0), "of 3 rows leaves 0"),
        (1, (0.5, 0), "of 1 rows leaves"),
        (10, (0.6, 0.5), "test_fraction 0.6 and validation_fraction 0.5 of 10 rows leave 0 for training, 5 for valid"),
        (10, (0.2, 0.01), "validation_fraction 0.01 of 10 rows leave 8 for training, 0 for validation and 2 for the"),
    ],
)
def test_split_needs_a_row_on_each_side(n, fractions, message):
    with pytest.raises(DataError, match=message):
        split_rows(n, *fractions, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "fraction", "message"),
    [
        ("line", 0.01, "validation_fraction 0.01 of 9 training rows leaves 9 for training and 0 for validation"),
        ("sign", 0.85, "validation_fraction 0.85: no training row of '"),
        ("iris", 0.78, "iris, test_fraction 0.2, validation_fraction 0.78: no training row of '"),
    ],
)
def test_a_validation_set_leaves_a_training_set(name, fraction, message):
    with pytest.raises(DataError, match=message):
        load(build(name, validation_fraction=fraction))


def test_a_sorted_set_with_test_rows_of_its_own_stays_sorted():
    held = load(build("polynomials", validation_fraction=0.25))
    for _, y in held.parts.values():
        assert (np.diff(y.argmax(axis=1)) >= 0).all()


@pytest.mark.parametrize("name", ["gaussian", "iris", "diabetes"])
def test_another_seed_is_another_split(name):
    dataset = build(name)
    assert not np.array_equal(load(dataset, 0).y_test, load(dataset, 1).y_test)


def test_data_and_split_streams_are_apart():
    same, other = (np.random.default_rng(5) for _ in range(2))
    split = np.random.default_rng(6)
    a = Product(n_samples=4, n_test=2, sample=None).load(same, split)
    b = Product(n_samples=4, n_test=2, sample=None).load(other, np.random.default_rng(7))
    np.testing.assert_array_equal(a.x_train, b.x_train)
    assert split.uniform() == np.random.default_rng(6).uniform()


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "diabetes", "iris", "wine"])
def test_training_rows_set_the_scale(name):
    loaded = load(build(name))
    deviation = loaded.x_train.std(axis=0)
    np.testing.assert_allclose(loaded.x_train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(deviation[deviation > 0], 1)
    assert np.abs(loaded.x_test.mean(axis=0)).max() > 1e-6
    assert len(loaded.x_test) == round(0.2 * (len(loaded.x_test) + len(loaded.x_train)))


def test_constant_columns_are_only_shifted():
    x = np.array([[0.1, 1.0], [0.1, 3.0], [0.1, 5.0]])
    scaling = Scaling.of(x)
    assert scaling.scale[0] == 1
    np.testing.assert_allclose(scaling.apply(x), [[0, -(1.5**0.5)], [0, 0], [0, 1.5**0.5]], atol=1e-15)
    np.testing.assert_allclose(scaling.invert(scaling.apply(x)), x)


def test_diabetes_target_raw_or_standardised():
    raw = load(BundledRegression(name="diabetes", test_fraction=0.2, standardise_target=False))
    scaled = load(build("diabetes"))
    assert raw.y_scaling is None and raw.y_train.mean() > 100
    np.testing.assert_allclose(scaled.y_scaling.invert(scaled.y_test), raw.y_test)
    assert abs(scaled.y_train.std() - 1) < 1e-12


def test_bundled_classes_must_all_be_trained_on():
    with pytest.raises(DataError, match="iris, test_fraction 0.99: no training row of '"):
        load(BundledClassification(name="iris", test_fraction=0.99))


# --- targets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [[0, 2, 1], [[0], [2], [1]], [0.0, 2.0, 1.0], np.eye(3)[[0, 2, 1]]])
def test_targets_from_integers_or_one_hot(labels):
    y = as_targets(labels, "multiclass", 3)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, np.eye(3)[[0, 2, 1]])


@pytest.mark.parametrize("labels", [[0, 1, 1], [False, True, True], [[1, 0], [0, 1], [0, 1]]])
def test_binary_targets_are_one_column(labels):
    np.testing.assert_array_equal(as_targets(labels, "binary", 2), [[0], [1], [1]])


def test_regression_targets_are_columns():
    assert as_targets([1, 2, 3], "regression", 0).shape == (3, 1)
    assert as_targets(np.ones((3, 2)), "regression", 0).shape == (3, 2)


@pytest.mark.parametrize(
    ("labels", "task", "n_classes", "message"),
    [
        ([0, 1, 3], "multiclass", 3, "label 3 at index 2: must be an integer from 0 to 2"),
        ([0, -1], "multiclass", 3, "label -1 at index 1"),
        ([0, 1.5], "multiclass", 3, "label 1.5 at index 1"),
        ([0, np.nan], "multiclass", 3, "label nan at index 1"),
        ([[1, 0, 0], [1, 1, 0]], "multiclass", 3, "at index 1: a one-hot row"),
        ([[1, 0, 0], [0.5, 0.5, 0]], "multiclass", 3, "at index 1: a one-hot row"),
        (np.zeros((2, 4)), "multiclass", 3, r"shape \(2, 4\)"),
        (["a", "b"], "multiclass", 3, "labels of type"),
        ([0, 0], "multiclass", 1, "1 class: classification needs at least 2"),
        ([0, 1], "binary", 3, "task binary with 3 classes: must be 2"),
    ],
)
def test_bad_labels_are_named(labels, task, n_classes, message):
    with pytest.raises(DataError, match=message):
        as_targets(labels, task, n_classes)


# --- a user's CSV file --------------------------------------------------------------------------------------

GOOD = "a,b,y\n" + "".join(f"{i},{i * i},{'pq'[i % 2]}\n" for i in range(10))


def csv_of(tmp_path, text, **changes):
    return build("csv", **({"path": write(tmp_path / "d.csv", text), "target": "y"} | changes))


def test_csv_values(tmp_path):
    loaded = load(csv_of(tmp_path, GOOD, standardise=False))
    assert (loaded.task, loaded.features, loaded.classes) == ("binary", ("a", "b"), ("p", "q"))
    for x, y in ((loaded.x_train, loaded.y_train), (loaded.x_test, loaded.y_test)):
        np.testing.assert_array_equal(x[:, 1], x[:, 0] ** 2)
        np.testing.assert_array_equal(y, x[:, :1] % 2)


@pytest.mark.parametrize(
    ("labels", "task", "classes"),
    [
        ([0.5 * i for i in range(12)], "regression", ()),
        (list(range(12)), "regression", ()),
        ([i % 2 for i in range(12)], "binary", ("0", "1")),
        ([f"{i % 3 + 9}.0" for i in range(12)], "multiclass", ("9", "10", "11")),
        (["abc"[i % 3] for i in range(12)], "multiclass", ("a", "b", "c")),
    ],
)
def test_auto_finds_the_task(tmp_path, labels, task, classes):
    text = "y,a\n" + "".join(f"{label},{i}\n" for i, label in enumerate(labels))
    loaded = load(csv_of(tmp_path, text), seed=2)
    assert (loaded.task, loaded.classes) == (task, classes)


def test_csv_one_hot_and_several_targets(tmp_path):
    rows = "".join(f"{i},{i % 2},{1 - i % 2}\n" for i in range(10))
    loaded = load(csv_of(tmp_path, "a,v,u\n" + rows, target=["v", "u"], standardise=False))
    assert (loaded.task, loaded.classes) == ("multiclass", ("v", "u"))
    np.testing.assert_array_equal(loaded.y_train[:, :1], loaded.x_train % 2)
    values = load(csv_of(tmp_path, "a,v,u\n" + rows.replace("0\n", "0.5\n"), target=["v", "u"]))
    assert values.task == "regression" and values.y_train.shape == (8, 2)


def test_csv_target_standardised_on_request(tmp_path):
    text = "a,y\n" + "".join(f"{i},{i + 0.5}\n" for i in range(10))
    loaded = load(csv_of(tmp_path, text, standardise_target=True))
    np.testing.assert_allclose(loaded.y_train, loaded.x_train)
    assert load(csv_of(tmp_path, text)).y_scaling is None


def test_csv_test_file(tmp_path):
    test = write(tmp_path / "t.csv", "y,b,a\nq,25,5\n\np,4,2\n")
    loaded = load(csv_of(tmp_path, GOOD, test_path=test, standardise=False))
    assert len(loaded.x_train) == 10
    np.testing.assert_array_equal(loaded.x_test, [[5, 25], [2, 4]])
    np.testing.assert_array_equal(loaded.y_test, [[1], [0]])


def test_csv_is_read_again_when_it_changes(tmp_path):
    dataset = csv_of(tmp_path, GOOD, standardise=False)
    before, print_before = load(dataset), dataset.fingerprint()
    write(tmp_path / "d.csv", GOOD.replace("9,81", "9,8.25"))
    assert load(dataset).x_train.sum() + load(dataset).x_test.sum() != before.x_train.sum() + before.x_test.sum()
    assert dataset.fingerprint() != print_before


def test_fingerprint_is_of_contents(tmp_path):
    here, there = (write(tmp_path / name, GOOD) for name in ("1.csv", "2.csv"))
    prints = [csv_of(tmp_path, GOOD, path=path).fingerprint() for path in (here, there)]
    assert prints[0] == prints[1] and len(prints[0]) == 64
    assert csv_of(tmp_path, GOOD, path=here, test_path=there).fingerprint() != prints[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "d.csv: empty"),
        ("\n\n", "d.csv: empty"),
        ("a,b,y\n", "d.csv: a header and no rows"),
        ("a,b,y\n1,2,p\n3,q\n", "d.csv, line 3: 2 cells, the header has 3"),
        ("a,b,y\n1,2,p,5\n3,4,q\n", "d.csv, line 2: 4 cells, the header has 3"),
        ('a,b,y\n\n"1","2","p\nr"\n3,,q\n', "d.csv, line 5, column 'b': missing value"),
        ("a,b,y\n1,2,p\n3,4,\n", "d.csv, line 3, column 'y': missing value"),
        ("a,b,y\nnan,2,p\n3,4,q\n", "d.csv, line 2, column 'a': missing value"),
        ("a,b,y\n1,2,p\n3,4o,q\n", "d.csv, line 3, column 'b': '4o' is not a number"),
        ("a,b,y\n1,2,p\n-inf,4,q\n", "d.csv, line 3, column 'a': -inf is infinite"),
        ("a,b,y\n1,1e200,p\n3,4,q\n", r"d.csv, line 2, column 'b': 1e\+200 is infinite or beyond"),
        ("a,b,y\n1,2,1.5\n3,4,inf\n", "d.csv, line 3, column 'y': inf is infinite"),
        ("a,b,z\n1,2,p\n", "d.csv: no column 'y'; its columns are a, b, z"),
        ("a,a,y\n1,2,p\n", "d.csv, line 1: column name 'a': must be unique"),
        ("a,,y\n1,2,p\n", "d.csv, line 1: column name '': must be unique"),
        ("y\n1\n2\n", "d.csv: no columns besides the target"),
        ("a,y\n1,p\n2,p\n3,p\n", "d.csv: only one class, 'p', in its 2 training rows"),
        ("a,y\n1,2.5\n", "d.csv: test_fraction 0.2 of 1 rows leaves 1 for training and 0"),
        ("a,y\n1,2.5\n2,3.5o\n", "d.csv, line 3, column 'y': '3.5o' among numbers"),
        ('a,y\n1,"2\n', "d.csv: cannot be read as CSV: unexpected end of data"),
    ],
)
def test_bad_csv_is_named(tmp_path, text, message):
    options = {"test_fraction": 0.4} if "only one class" in message else {}
    with pytest.raises(DataError, match=message) as caught:
        load(csv_of(tmp_path, text, **options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "regression"}, "d.csv, line .*, column 'y': '[pq]' is not a number"),
        ({"target": "a", "task": "binary"}, r"d.csv: 8 classes \(.*, ...\) where a binary task has 2"),
        ({"target": ["a", "b"], "task": "multiclass"}, "d.csv, line .* over 2 target columns: must be one 1"),
        ({"path": "absent.csv"}, "absent.csv: No such file"),
        ({"path": "."}, ".: not a file"),
        ({"test_path": "absent.csv"}, "absent.csv: No such file"),
    ],
)
def test_csv_options_that_do_not_fit(tmp_path, changes, message):
    text = GOOD.replace("p", "1").replace("q", "2") if "target" in changes else GOOD
    with pytest.raises(DataError, match=message):
        load(csv_of(tmp_path, text, **changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,y\n1,2,p\n3,4,r\n", "t.csv, line 3, column 'y': class 'r' is among the test rows, but"),
        ("a,b,y\n1,2,3\n", "t.csv: one of its labels and those of .*d.csv are numbers, the other text"),
        ("a,c,y\n1,2,p\n", "t.csv: columns differ from those of .*d.csv: b, c"),
        ("a,b,y\n", "t.csv: a header and no rows"),
    ],
)
def test_bad_test_file_is_named(tmp_path, text, message):
    dataset = csv_of(tmp_path, GOOD, test_path=write(tmp_path / "t.csv", text))
    with pytest.raises(DataError, match=message):
        load(dataset)


def test_csv_validation_file(tmp_path):
    """Its columns may come in another order; its content is part of the data, but not as test rows would be."""
    own = write(tmp_path / "v.csv", "y,b,a\np,2,1\nq,4,3\n")
    loaded = load(csv_of(tmp_path, GOOD, validation_path=own))
    np.testing.assert_allclose(loaded.x_scaling.invert(loaded.x_validation), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(loaded.y_validation, [[0], [1]])
    without = load(csv_of(tmp_path, GOOD))
    np.testing.assert_array_equal(loaded.x_train, without.x_train)
    as_test = csv_of(tmp_path, GOOD, test_path=own)
    held = load(replace(as_test, validation_fraction=0.2))
    assert [len(x) for x, _ in held.parts.values()] == [8, 2, 2]
    raw = held.x_scaling.invert(held.x_train)[:, 0]
    assert (np.diff(raw) > 0).all()  # rows of the file, in its order
    contents = {csv_of(tmp_path, GOOD, **paths).fingerprint() for paths in ({}, {"validation_path": own})}
    assert len(contents | {as_test.fingerprint()}) == 3


@pytest.mark.parametrize(
    ("changes", "text", "message"),
    [
        ({"validation_fraction": 0.1}, "a,b,y\n1,2,p\n", "d.csv, validation_fraction 0.1: must be 0 with validation"),
        ({}, "a,b,y\n1,2,r\n", "v.csv, line 2, column 'y': class 'r' is among the validation rows, but"),
        ({"validation_path": "absent.csv"}, "", "absent.csv: No such file"),
    ],
)
def test_bad_validation_file_is_named(tmp_path, changes, text, message):
    own = {"validation_path": write(tmp_path / "v.csv", text)} | changes
    with pytest.raises(DataError, match=message):
        load(csv_of(tmp_path, GOOD, **own))


def test_csv_of_other_bytes(tmp_path):
    (tmp_path / "d.csv").write_bytes(b"a,y\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="d.csv: cannot be read as CSV: 'utf-8' codec"):
        load(build("csv", path=str(tmp_path / "d.csv"), target="y"))


def test_rare_class_of_one_row(tmp_path):
    text = "a,y\n" + "".join(f"{i},p\n{i},q\n" for i in range(5)) + "0,r\n"
    dataset = csv_of(tmp_path, text)
    outcomes = {outcome_of(dataset, seed) for seed in range(20)}
    assert outcomes == {
        "loaded",
        "line 12, column 'y': class 'r' is among the test rows, but in no training row",
    }


def outcome_of(dataset: CsvFile, seed):
    try:
        load(dataset, seed)
    except DataError as error:
        return str(error).split("d.csv, ")[1]
    return "loaded"


# --- a user's NumPy archive ---------------------------------------------------------------------------------

X, Y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2


def npz_of(tmp_path, **arrays):
    np.savez(tmp_path / "d.npz", **arrays)
    return build("npz", path=str(tmp_path / "d.npz"), standardise=False)


def test_npz_values(tmp_path):
    loaded = load(npz_of(tmp_path, x=X.astype(np.float32), y=Y))
    assert (loaded.task, loaded.features, loaded.classes) == ("binary", ("x0", "x1"), ("0", "1"))
    np.testing.assert_array_equal(loaded.y_train[:, 0], loaded.x_train[:, 0] / 2 % 2)


def test_npz_text_labels_and_one_column(tmp_path):
    loaded = load(npz_of(tmp_path, x=X[:, 0], y=np.array(["no", "yes"])[Y]))
    assert loaded.x_train.shape == (8, 1) and loaded.classes == ("no", "yes")
    assert load(npz_of(tmp_path, x=X, y=np.eye(3)[np.arange(10) % 3])).classes == ("y0", "y1", "y2")


def changed(array, index, value):
    array = array.astype(np.float64)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "d.npz: no array 'y'; its arrays are x"),
        (
            {"x": X, "y": Y[:9]},
            r"d.npz: x of shape \(10, 2\) and y of shape \(9, 1\): must have as many rows",
        ),
        ({"x": X[:0], "y": Y[:0]}, "must have as many rows, at least 1"),
        ({"x": X[:, :0], "y": Y}, "at least 1 column each"),
        ({"x": X, "y": Y.reshape(10, 1, 1)}, r"y of shape \(10, 1, 1\): must have 1 or 2 dimensions"),
        ({"x": changed(X, (3, 1), np.nan), "y": Y}, r"d.npz, row \(from 0\) 3, column 'x1': missing value"),
        ({"x": X, "y": changed(Y, 4, np.inf)}, r"row \(from 0\) 4, column 'y0': inf is infinite"),
        ({"x": X.astype(str), "y": Y}, "columns x0..x1: type <U32: must be numbers"),
        ({"x": X, "y": Y.astype(complex)}, "columns y0..y0: type complex128: must be numbers"),
        (
            {"x": X, "y": Y.astype(object)},
            "d.npz: cannot be read as an archive of numpy.savez: Object arrays",
        ),
    ],
)
def test_bad_npz_is_named(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        load(npz_of(tmp_path, **arrays))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04cut short"])
def test_npz_of_other_bytes(tmp_path, content):
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(DataError, match="d.npz: cannot be read as an archive of numpy.savez"):
        load(build("npz", path=str(tmp_path / "d.npz")))


def test_npz_that_is_one_array(tmp_path):
    np.save(tmp_path / "d.npy", X)
    with pytest.raises(DataError, match="d.npy: cannot be read as .*: it is a single array"):
        load(build("npz", path=str(tmp_path / "d.npy")))


def test_mnist1d_is_that_of_the_authors():
    """The numbers are those of their package, version 0.0.2.post1, for the published set of 5,000."""
    x, labels = samples(5000, 42)
    assert labels[:10].tolist() == [2, 6, 4, 5, 6, 6, 6, 0, 3, 1] and np.bincount(labels).tolist() == [500] * 10
    expected = [-0.33200567, -0.47191037, -0.77869708, -1.00974083, -0.88235257]
    np.testing.assert_allclose(x[0, :5], expected, atol=1e-8)
    np.testing.assert_allclose(x[-1, -3:], [0.65987565, 0.87773435, 1.19315184], atol=1e-8)
    assert (x**3).mean() == pytest.approx(-0.06563051914401087, rel=1e-12)


def test_mnist1d_follows_the_authors_package():
    """Where it is installed: it is no dependency."""
    package = pytest.importorskip("mnist1d.data", exc_type=ImportError)
    arguments = package.get_dataset_args()
    arguments.num_samples, arguments.seed = 200, 7
    theirs = package.make_dataset(arguments)
    ours = Mnist1d(n_samples=200, number=7).load(np.random.default_rng(0), np.random.default_rng(1))
    assert ours.shape == (1, 40)
    for part, their_part in (("train", ""), ("test", "_test")):
        np.testing.assert_allclose(getattr(ours, f"x_{part}"), theirs[f"x{their_part}"], rtol=0, atol=1e-14)
        np.testing.assert_array_equal(getattr(ours, f"y_{part}").argmax(1), theirs[f"y{their_part}"])


def test_pictures_of_an_archive_keep_their_shape(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(10, 2, 3, 4)), np.arange(10) % 2
    np.savez(tmp_path / "d.npz", x=x, y=y)
    np.savez(tmp_path / "test.npz", x=x[:4].reshape(4, 2, 4, 3), y=y[:4])
    loaded = load(NpzFile(path=str(tmp_path / "d.npz"), standardise=False))
    assert loaded.shape == (2, 3, 4) and len(loaded.features) == 24
    assert all((x == row.reshape(loaded.shape)).all((1, 2, 3)).any() for row in loaded.x_train)
    assert load(arrays(x, y)).shape == (2, 3, 4) and load(arrays(x[:, 0, 0], y)).shape == ()
    assert arrays(x, y).fingerprint() != arrays(x.reshape(10, 2, 4, 3), y).fingerprint()
    with pytest.raises(DataError, match=r"test.npz: samples of shape \(2, 4, 3\), those of .*d.npz have \(2, 3, 4\)"):
        load(NpzFile(path=str(tmp_path / "d.npz"), test_path=str(tmp_path / "test.npz")))
