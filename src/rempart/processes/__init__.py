"""The processes of a running server: main, control, gateway workers. (Runners are in ``runners``.)

Each has a ``build`` that makes every object of that process in order, the map of it, and a ``run``.
They are exec'ed, never forked, and inherit their sockets; ``channel.py`` and ``messages.py`` are how
they talk. May import everything below. Start at ``main/run.py``.
"""
