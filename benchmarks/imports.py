"""The modules that a run imports: python -m benchmarks.imports <modules.json> [arguments of src.run]

With arguments it runs src.run and writes the names of the imported modules, in order. Without, it imports these.
"""

import json
import runpy
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path


def main() -> None:
    path = Path(sys.argv.pop(1))
    if len(sys.argv) > 1:
        with suppress(SystemExit):
            runpy.run_module("src.run", run_name="__main__", alter_sys=True)
        path.write_text(json.dumps([name for name in sys.modules if not name.startswith("__")]))
        return
    for name in json.loads(path.read_text()):
        with suppress(Exception):  # some libraries register names of modules without a file
            import_module(name)


if __name__ == "__main__":
    main()
