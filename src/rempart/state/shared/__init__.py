"""Volatile state that all processes of a deployment share: limit counters, leases, published keys.

Each folder holds an ``interface`` that states the semantics, and one file for each back end; only
``state/open.py`` knows which one is used. Start reading at ``limits/interface.py``.
"""
