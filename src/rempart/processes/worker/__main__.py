"""``python -m rempart.processes.worker``: started by main only."""

import sys

from rempart.processes.birth import end_with_parent

if __name__ == "__main__":
    end_with_parent(sys.argv)
    from rempart.processes.worker.run import main

    sys.exit(main())
