"""Main: binds the sockets, starts and watches the others, owns the runners' states. Never sees a request.

Kept small: the standard library, msgspec and our own code; no HTTP but the probes of runners.
"""
