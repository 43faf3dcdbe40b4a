"""Rempart: one command turns a language model into a production API.

Start reading at ``gateway/path.py`` (what happens to a request) and ``processes/`` (which process
does what). ``base`` and ``domain`` know nothing of the rest; imports go down (see pyproject.toml).
"""

__version__ = "0.1.0"
