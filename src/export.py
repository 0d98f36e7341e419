"""`python -m src.export`: see descent_lab.cli.export."""

import sys

from descent_lab.cli.export import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
