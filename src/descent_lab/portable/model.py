"""A trained network with all that lies between raw points and answers in its user's units; saved and loaded.

A saved model is a folder of two files: `model.json`, what it is in names, and `arrays.npz`, its numbers. MLflow loads
it by `_load_pyfunc`, and calls `predict`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from .formulas import FUNCTIONS, Function, normalised
from .scaling import Scaling

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1  # of the two files; another number is refused
ABOUT, ARRAYS = "model.json", "arrays.npz"


class Layer(NamedTuple):
    """The numbers of one dense layer; those that it does not have are None. A layer with a gamma is normalised."""

    W: np.ndarray  # (fan_in, fan_out)
    b: np.ndarray | None = None  # (fan_out, 1), as all below
    gamma: np.ndarray | None = None
    beta: np.ndarray | None = None
    mean: np.ndarray | None = None  # running, of batch normalisation
    variance: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class About:
    """What a model is, in names.

    task: regression, binary or multiclass. features: the names of the columns of x. classes: empty for a regression.
    targets: what stands for "not this class" and "this class" in the network's predictions.
    probabilities: whether the outputs of a classification are probabilities, or else only scores.
    activations: the function after each layer. output: what makes predictions of the last layer's values.
    loss: with which it was trained.
    modules: those that define an activation or a loss which is not among those carried here. needs: the packages that
        these belong to, pinned.
    """

    task: str
    features: tuple[str, ...]
    classes: tuple[str, ...]
    targets: tuple[float, float]
    probabilities: bool
    activations: tuple[str, ...]
    output: str
    loss: str
    modules: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class PortableModel:
    """A trained network as numbers and functions.

    network: makes predictions (n, n_outputs) of scaled points (n, n_features). layers: the numbers in it; None where it
    has layers of other kinds, and then it cannot be saved.
    x_scaling, y_scaling: of the raw values; None where nothing is scaled.
    """

    about: About
    network: Function
    layers: Sequence[Layer] | None
    x_scaling: Scaling | None
    y_scaling: Scaling | None

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Predictions (n, n_outputs) float64 for raw points x (n, n_features).

        A regression gives values in the target's own units, a classification one column for each class.
        """
        with np.errstate(over="ignore"):  # a point far from the training data may overflow
            a = self.network(x if self.x_scaling is None else self.x_scaling.apply(x)).astype(np.float64)
        if self.about.task == "regression":
            return a if self.y_scaling is None else self.y_scaling.invert(a)
        low, high = self.about.targets
        if (low, high) != (0, 1):
            a = (a - low) / (high - low)
        return np.concatenate([1 - a, a], axis=1) if self.about.task == "binary" else a

    def headings(self, n_outputs: int) -> list[str]:
        """The names of the columns of answers: of a classification the class, then its probabilities or scores."""
        if self.about.task != "regression":
            kind = "p" if self.about.probabilities else "score"
            return ["class", *(f"{kind}({name})" for name in self.about.classes)]
        return ["prediction"] if n_outputs == 1 else [f"prediction_{k + 1}" for k in range(n_outputs)]

    def classes_of(self, outputs: np.ndarray) -> list[str]:
        """The name of the likeliest class of each row of outputs (n, n_classes)."""
        return [self.about.classes[k] for k in outputs.argmax(axis=1)]

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> "pd.DataFrame":
        """One row of answers, under `headings`, for each point, as MLflow calls it.

        model_input: a frame, in which columns go by their names if it has all features; or an array (n, n_features).
        Raises ValueError in one line for points that do not fit or are not finite.
        """
        import pandas as pd

        x = self._points(model_input)
        outputs = self.outputs(x)
        names = self.headings(outputs.shape[1])
        answers = {"class": self.classes_of(outputs)} if self.about.task != "regression" else {}
        columns = dict(zip(names[len(answers) :], outputs.T, strict=True))
        return pd.DataFrame({**answers, **columns}, index=getattr(model_input, "index", None))

    def _points(self, given: Any) -> np.ndarray:
        """The points (n, n_features) of a frame or an array."""
        features = self.about.features
        named = [str(name) for name in getattr(given, "columns", ())]
        if set(features) <= set(named):
            given = given.iloc[:, [named.index(name) for name in features]]
        elif any(not name.isdigit() for name in named):
            missing = ", ".join(name for name in features if name not in named)
            raise ValueError(f"columns {', '.join(named)}: must be {', '.join(features)}; there is no {missing}")
        x: np.ndarray = np.asarray(given, dtype=np.float64)
        if x.ndim == 1 and (len(features) == 1 or len(x) == len(features)):
            x = x.reshape(-1, len(features))
        if x.ndim != 2 or x.shape[1] != len(features):
            raise ValueError(f"x of shape {np.shape(given)}: must be (n, {len(features)}): {', '.join(features)}")
        if not np.isfinite(x).all():
            row, column = np.argwhere(~np.isfinite(x))[0]
            raise ValueError(f"row {row}, {features[column]}: {x[row, column]} is not a finite number")
        return x

    def save(self, folder: Path) -> None:
        """Write the two files into a folder. Raises ValueError for layers of kinds that the files cannot hold."""
        if self.layers is None:
            raise ValueError("only networks of dense layers, with or without batch normalisation, can be exported")
        arrays = {f"{name}{k}": array for k, layer in enumerate(self.layers) for name, array in layer._asdict().items()}
        for name, scaling in (("x", self.x_scaling), ("y", self.y_scaling)):
            if scaling is not None:
                arrays |= {f"{name}_mean": scaling.mean, f"{name}_scale": scaling.scale}
        np.savez(folder / ARRAYS, **{name: array for name, array in arrays.items() if array is not None})
        (folder / ABOUT).write_text(json.dumps({"format": FORMAT, **asdict(self.about)}, indent=2))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model in a folder. Raises ValueError for another format, ImportError where a package is missing."""
        written: dict[str, Any] = json.loads((folder / ABOUT).read_text())
        if (number := written.pop("format")) != FORMAT:
            raise ValueError(f"{folder}: a model of format {number}, and this code reads format {FORMAT}")
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in written.items()}
        about = About(**values)
        with np.load(folder / ARRAYS) as file:
            arrays = dict(file)
        n_layers = sum(name.startswith("W") for name in arrays)
        layers = [Layer(*(arrays.get(f"{name}{k}") for name in Layer._fields)) for k in range(n_layers)]  # type: ignore[arg-type]
        scalings = (Scaling(arrays[f"{k}_mean"], arrays[f"{k}_scale"]) if f"{k}_mean" in arrays else None for k in "xy")
        functions = [_activation(name, about) for name in about.activations]
        return cls(about, dense_network(layers, functions, _output(about)), layers, *scalings)


def dense_network(layers: Sequence[Layer], functions: Sequence[Function], output: Function) -> Function:
    """The predictions (n, n_outputs) for scaled points (n, n_features), of dense layers and the function after each."""

    def network(x: np.ndarray) -> np.ndarray:
        h = x.astype(layers[0].W.dtype).T
        for layer, function in zip(layers, functions, strict=True):
            z = layer.W.T @ h
            if layer.b is not None:
                z = z + layer.b
            if layer.gamma is not None:
                z = layer.gamma * normalised(z, layer.mean, layer.variance)[0] + layer.beta
            h = function(z)
        predictions: np.ndarray = output(h).T
        return predictions

    return network


def _activation(name: str, about: About) -> Function:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    function: Function = _part("activations", "ACTIVATIONS", "activation", name, about).f
    return function


def _output(about: About) -> Function:
    """The output function; that of a loss of a plug-in may be the loss's own."""
    if about.output in FUNCTIONS:
        return FUNCTIONS[about.output]
    loss, _, output = about.output.partition(":")
    function: Function = _part("losses", "LOSSES", "loss", loss, about)(output).predict
    return function


def _part(module: str, registry: str, what: str, name: str, about: About) -> Any:
    """A part of a plug-in, which must be importable here. Raises ImportError in one line where it is not."""
    try:
        parts = getattr(import_module(f"descent_lab.nn.{module}"), registry)
        for defining in about.modules:  # which adds the parts
            import_module(defining)
        return parts[name]
    except (ImportError, KeyError):
        raise ImportError(f"{what} {name}: comes from a plug-in; install {' and '.join(about.needs)}") from None


def _load_pyfunc(path: str) -> PortableModel:
    """What MLflow calls to load a model."""
    return PortableModel.load(Path(path))
