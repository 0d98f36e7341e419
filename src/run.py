"""`python -m src.run`: see descent_lab.cli.run."""

import sys

from descent_lab.cli.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
