"""``python -m rempart.processes.control``: started by main only."""

import sys

from rempart.processes.control.run import main

if __name__ == "__main__":
    sys.exit(main())
