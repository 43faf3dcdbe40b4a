"""The command ``rempart``; ``python -m rempart`` is the same."""

import os
import sys
from collections.abc import Sequence

from rempart.cli.failure import CommandFailed
from rempart.cli.main import app

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code: 0 done, 1 failed, 2 wrong usage.

    Args:
        arguments: without the program's name; None takes those of the process.
    """
    try:
        app(args=None if arguments is None else list(arguments), prog_name="rempart")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except CommandFailed as failed:
        print(f"rempart: {failed}", file=sys.stderr)
        return failed.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; the interpreter's own flush at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
