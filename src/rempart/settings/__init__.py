"""Every setting, typed, with its bounds and meaning; how they are read; how errors explain themselves.

``model.py`` holds plain dataclasses, light enough for every process. ``load.py`` (pydantic) reads and
checks TOML and environment, and is imported by the command line only. May import ``domain`` and ``base``.
"""
