"""Every setting, typed, with its bounds and meaning; how they are read; what errors say.

``model.py`` holds plain dataclasses, light enough for every process. ``load.py`` (pydantic) reads
and checks TOML and environment, and is imported by the command line only; ``resolved.py`` is how
every other process gets the result. May import ``domain`` and ``base``.
"""

CONFIG_FILE = "rempart.toml"
"""The configuration's name in the folder where a command is started."""
DATA_DIR = "rempart-data"
"""The data folder's, where nothing else is said."""
