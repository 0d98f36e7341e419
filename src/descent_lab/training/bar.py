"""The progress bar: steps done of all runs, runs done, steps per second, time left."""

import sys
from importlib import import_module
from types import TracebackType
from typing import Any

from descent_lab.wording import counted


class Bar:
    """A progress bar in a notebook, or on stderr.

    shown: True; False; or None: in a notebook and on a terminal only. delay: seconds before it appears.
    """

    def __init__(self, n_steps: int, n_runs: int, shown: bool | None, delay: float = 0.0):
        notebook = in_notebook()
        tqdm: Any = import_module("tqdm.auto" if notebook else "tqdm").tqdm
        hidden = None if shown is None and not notebook else shown is False  # None: hidden unless on a terminal
        where: dict[str, Any] = {} if notebook else {"file": sys.stderr}
        self.bar = tqdm(
            total=n_steps, unit=" steps", unit_scale=True, disable=hidden, dynamic_ncols=True, delay=delay, **where
        )
        self.n_runs, self.runs_done, self.ahead, self.at_once = n_runs, 0, 0, delay <= 0
        self._show()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.bar.close()

    def steps(self, done: int) -> None:
        """The present stack has done so many steps in all."""
        self.bar.update(done - self.ahead)
        self.ahead = done

    def stack_done(self, n_steps: int, n_runs: int) -> None:
        """A stack of so many runs has ended, with all its n_steps steps or before."""
        self.steps(n_steps)
        self.ahead = 0
        self.runs_done += n_runs
        self._show()

    def _show(self) -> None:
        self.bar.set_postfix_str(f"{self.runs_done} of {counted(self.n_runs, 'run')}", refresh=self.at_once)


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config
