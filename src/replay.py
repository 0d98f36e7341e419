"""`python -m src.replay`: see descent_lab.cli.replay."""

import sys

from descent_lab.cli.replay import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
