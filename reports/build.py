"""`python -m reports.build`: see descent_lab.report.build."""

import gc
import sys

from descent_lab.report.build import main

if __name__ == "__main__":
    code = main(sys.argv[1:])
    gc.freeze()  # Python would look through all modules for garbage before it ends, which takes a second
    sys.exit(code)
