"""The guard: what must not reach a model, or a client, is found and masked or refused.

Everything here but ``pipeline`` and ``hold_timer`` is plain functions over texts; it may import the
exchange, settings, wire and domain, never a step. Start in ``interface.py`` (what a detector is) and
``pipeline.py`` (what runs on what); ``lane.py`` is the same for texts that come in pieces.
"""
