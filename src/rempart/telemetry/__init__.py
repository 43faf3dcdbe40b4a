"""What Rempart says about itself: metrics, log lines, system figures.

Metrics are counted in memory-mapped files (``cells.py``) laid out by one table (``metrics.py``); log
lines are single writes (``logs.py``). May import ``settings``, ``domain`` and ``base``. Start at ``metrics.py``.
"""
