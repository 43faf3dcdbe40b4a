"""``python -m rempart.processes.worker``: started by main only."""

import sys

from rempart.processes.worker.run import main

if __name__ == "__main__":
    sys.exit(main())
