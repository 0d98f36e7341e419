"""`python -m src.deliver`: see descent_lab.cli.deliver."""

import sys

from descent_lab.cli.deliver import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
