"""Where things are kept. So far: the bootstrap key and the pepper, as files beside the data.

May import ``telemetry``, ``settings``, ``domain`` and ``base``. Start at ``bootstrap.py``.
"""
