"""`python -m reports.replication`: see descent_lab.replication.build."""

import sys

from descent_lab.replication.build import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
