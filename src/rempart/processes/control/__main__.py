"""``python -m rempart.processes.control``: started by main only."""

import sys

from rempart.processes.birth import end_with_parent

if __name__ == "__main__":
    end_with_parent(sys.argv)
    from rempart.processes.control.run import main

    sys.exit(main())
