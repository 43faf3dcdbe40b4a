"""Failed attempts to get in: per address for the lock-out, and as reports for the audit log.

``interface.py`` says what a store promises, ``decide.py`` when an address is blocked. May import ``domain`` and
``base``. Start at ``interface.py``.
"""
