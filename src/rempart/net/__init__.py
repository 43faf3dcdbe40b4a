"""Protocols on the wire that know nothing of our trade: today HTTP/1.1, both sides (``http1/``).

May import ``base`` only. Start reading at ``http1/DESIGN.md``.
"""
