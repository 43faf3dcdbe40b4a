"""Bytes ↔ values of the protocols we speak: no I/O, no clock, no chance; ids and moments come in.

May import ``domain`` and ``base``. Start at ``sse.py``, then ``chat.py``; ``messages.py`` and
``responses.py`` turn two other protocols into chat and back, ``envelope.py`` writes errors.
"""
