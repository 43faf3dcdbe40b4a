"""The request's way: everything that happens to a request between its first byte and its record.

Start at ``path.py`` (all steps, in order), then ``exchange.py`` (what is known of one request). Steps know
the exchange, never each other. May import ``runners.interface``, ``state``, ``telemetry``, ``settings``,
``wire``, ``net``, ``domain`` and ``base``; never ``control``.
"""
