"""The detectors, one subject each; all are built from matchers (see ``guard/interface.py``).

To write another one: a matcher with ``starts`` and ``match``, its kinds in ``domain/guard.py``, its line
in ``guard/pipeline.py``, and its honest look-alikes in ``tests/unit/gateway/guard/detectors/``.
"""
