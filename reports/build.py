"""`python -m reports.build`: see descent_lab.report.build."""

import sys

from descent_lab.report.build import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
