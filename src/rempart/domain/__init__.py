"""The nouns of the trade: errors, keys, models, records. Pure values, no I/O, no clock.

May import ``base``. Start reading at ``errors.py``.
"""
