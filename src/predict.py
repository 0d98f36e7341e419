"""`python -m src.predict`: see descent_lab.cli.predict."""

import sys

from descent_lab.cli.predict import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
