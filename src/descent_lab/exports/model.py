"""An MLflow model of a trained run: in a folder, or logged to its run and registered.

The model needs neither JAX nor descent_lab where it is loaded: it carries a copy of `descent_lab.portable`, which
computes with NumPy. Only an activation or a loss of a plug-in must be installed there, with descent_lab.
"""

import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pandas as pd

from descent_lab import portable
from descent_lab.errors import ConfigError, ModelError, StoreError
from descent_lab.portable.formulas import REQUIRED
from descent_lab.problems.predictor import Predictor
from descent_lab.sweeps.restore import restore
from descent_lab.tracking import reader
from descent_lab.tracking.address import FOLDER, is_folder

CARRIED = "descent_lab_model"  # the name of the copied code, which must not hide an installed descent_lab
LIBRARIES = ("mlflow", "numpy", "pandas")  # what a model needs; it is pinned to what is installed here
DIGITS = 12  # of the input example
TAG = "descent_lab.theta"  # of a logged model


@dataclass(frozen=True)
class Exported:
    """The model of a run, ready to be written.

    row: the run, by the columns of the frame of runs. which: the theta: best, final or init.
    """

    predictor: Predictor
    row: Mapping[str, Any]
    uri: str
    which: str

    @classmethod
    def of(cls, run_id: str, which: str = "best", uri: str | None = None) -> "Exported":
        """The model of a run. Raises ModelError, StoreError or ConfigError where there is none that can be used."""
        predictor = restore(run_id, which, uri)
        if predictor.portable.layers is None:
            raise ModelError(
                f"run={run_id}: only networks of dense layers, with or without batch normalisation, export"
            )
        stored = reader.find(uri, reader.Wanted(run=run_id))
        return cls(predictor, stored.runs.iloc[0].to_dict(), stored.uri, which)

    @property
    def run_id(self) -> str:
        return str(self.row["run_id"])

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics at the exported theta, by name, as far as the run recorded them there."""
        at = {"best": "chosen", "final": "final"}.get(self.which, "initial")
        known = {
            f"{part}/{name.removeprefix(f'{at}_{part}_')}": float(value)
            for part in ("train", "validation", "test")
            for name, value in self.row.items()
            if name.startswith(f"{at}_{part}_") and not pd.isna(value)
        }
        if self.which == "best" and not known and not pd.isna(self.row.get("best_train_loss")):
            known = {"train/loss": float(self.row["best_train_loss"])}
        return known

    @property
    def metadata(self) -> dict[str, Any]:
        """Where the model comes from, as its file MLmodel tells."""
        about = self.predictor.portable.about
        known = {name: self.row[name] for name in ("identity", "data", "git.commit") if isinstance(self.row[name], str)}
        return {
            "descent_lab": version("descent-lab"),
            "run_id": self.run_id,
            "run_name": self.row["name"],
            **known,
            "status": self.row["status"],
            "theta": self.which,
            "metrics": self.metrics,
            "dataset": self.row["dataset"],
            "task": about.task,
            "features": list(about.features),
            "classes": list(about.classes),
        }

    @property
    def requirements(self) -> list[str]:
        """What pip must install where the model is loaded."""
        about = self.predictor.portable.about
        libraries = {*LIBRARIES, *(REQUIRED[name] for name in about.activations if name in REQUIRED)}
        needs = [need for need in about.needs if "==" in need]
        return [*(f"{name}=={version(name)}" for name in sorted(libraries)), *needs]

    @property
    def example(self) -> pd.DataFrame:
        """One point in the units of the data: the mean of the training samples, which gives no sample away."""
        data = self.predictor.data
        mean = data.x_train.mean(axis=0, keepdims=True)
        raw = mean if data.x_scaling is None else data.x_scaling.invert(mean)
        return pd.DataFrame([[float(f"{value:.{DIGITS}g}") for value in raw[0]]], columns=list(data.features))

    def save(self, folder: Path) -> None:
        """Write the MLflow model into a folder that is not there yet. Raises ConfigError where it cannot be written."""
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise ConfigError(f"output={folder}: is there already; give another folder, or remove it")
        _refuse_without_mlflow()
        draft = folder.with_name(f".{folder.name}.{uuid4().hex}.draft")
        with _quiet(), self._parts() as parts:
            import mlflow.pyfunc

            try:
                mlflow.pyfunc.save_model(path=str(draft), **parts)
                draft.rename(folder)  # so that it appears when it is complete
            except OSError as error:
                raise ConfigError(f"output={folder}: cannot be written ({error.strerror or error})") from None
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def log(self) -> tuple[str, bool]:
        """Log the model to its run in the store: its address, and whether an earlier export had done so already.

        In a folder of runs it is a folder of the run. Raises StoreError in one line where the store refuses.
        """
        if is_folder(self.uri):
            folder = Path(self.uri.removeprefix(FOLDER)) / self.run_id / f"model_{self.which}"
            before = folder.exists()
            if not before:
                self.save(folder)
            return str(folder), before
        _refuse_without_mlflow()
        with _quiet(), _store(self.uri) as client:
            experiment = str(self.row["experiment_id"])
            there = client.search_logged_models([experiment], filter_string=f"source_run_id = '{self.run_id}'")
            for model in there:
                if model.tags.get(TAG) == self.which and model.status.name == "READY":
                    return f"models:/{model.model_id}", True
            return f"models:/{self._logged(client, experiment)}", False

    def _logged(self, client: Any, experiment: str) -> str:
        """Log the model anew; its id. It counts as ready when all of it is there; one that fails is deleted."""
        import mlflow.pyfunc
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        about = {"tags": {TAG: self.which}, "params": {"theta": self.which}}
        created = client.create_logged_model(experiment, f"theta-{self.which}", self.run_id, **about)
        model_id = str(created.model_id)
        try:
            with self._parts() as parts, TemporaryDirectory() as folder:
                model = Model(artifact_path=created.artifact_location, run_id=self.run_id, model_id=model_id)
                mlflow.pyfunc.save_model(path=f"{folder}/model", mlflow_model=model, **parts)
                client.log_model_artifacts(model_id, f"{folder}/model")
            client.log_outputs(self.run_id, [LoggedModelOutput(model_id, step=0)])
            client.finalize_logged_model(model_id, "READY")
        except BaseException:
            client.delete_logged_model(model_id)
            raise
        return model_id

    def register(self, address: str, name: str) -> str:
        """The version of a logged model in the model registry under this name, in which it is entered once."""
        with _quiet(), _store(self.uri) as client:
            import mlflow

            for known in client.search_model_versions(f"name = '{name}'"):
                if address in (known.source, f"models:/{known.model_id}"):
                    return str(known.version)
            return str(mlflow.register_model(address, name).version)

    @contextmanager
    def _parts(self) -> Iterator[dict[str, Any]]:
        """What MLflow is given: the paths of data and code, which are there as long as the context lasts."""
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        model, example = self.predictor.portable, self.example
        answer = model.predict(example)
        kinds = ("string" if name == "class" else "double" for name in answer)
        outputs = Schema([ColSpec(kind, name) for kind, name in zip(kinds, answer, strict=True)])
        # Columns of inputs have no names here, or MLflow would refuse arrays; the model itself goes by the names.
        inputs = Schema([ColSpec("double") for _ in example])
        with TemporaryDirectory() as folder:
            data, code = Path(folder) / "network", Path(folder) / CARRIED
            data.mkdir()
            model.save(data)
            shutil.copytree(Path(portable.__file__).parent, code, ignore=shutil.ignore_patterns("__pycache__"))
            yield {
                "loader_module": f"{CARRIED}.model",
                "data_path": str(data),
                "code_paths": [str(code)],
                "signature": ModelSignature(inputs=inputs, outputs=outputs),
                "input_example": example,
                "pip_requirements": self.requirements,
                "metadata": self.metadata,
            }


def _refuse_without_mlflow() -> None:
    try:
        import mlflow.pyfunc  # noqa: F401 - is it there?
    except ImportError:
        raise ConfigError("export: models are written by MLflow, which is not installed: pip install mlflow") from None


@contextmanager
def _store(uri: str) -> Iterator[Any]:
    """MLflow's client of a store, which is MLflow's current one meanwhile. Whatever it raises is a StoreError."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        yield mlflow.MlflowClient(uri)
    except (ConfigError, ModelError):
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StoreError(f"uri={uri}: the model cannot be stored ({reason})") from error
    finally:
        mlflow.set_tracking_uri(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes and warnings that MLflow writes of what it does."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with redirect_stderr(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
