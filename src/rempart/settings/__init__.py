"""Every setting, typed, with its bounds and meaning; how they are read; what errors say.

``model.py`` holds plain dataclasses, light enough for every process. ``load.py`` (pydantic) reads
and checks TOML and environment, and is imported by the command line only; ``resolved.py`` is how
every other process gets the result. May import ``domain`` and ``base``.
"""
