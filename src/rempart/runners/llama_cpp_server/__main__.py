"""``python -m rempart.runners.llama_cpp_server CONFIG.json``."""

import os
import sys

from rempart.runners.llama_cpp_server.run import main

if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that are inside the library, and its own ends, are not waited for: the system takes
    # all of it back, and faster.
    os._exit(code)
