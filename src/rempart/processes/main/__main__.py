"""``python -m rempart.processes.main RUN_DIR``: what ``rempart serve`` becomes by exec."""

import sys

from rempart.processes.main.run import main

if __name__ == "__main__":
    sys.exit(main())
