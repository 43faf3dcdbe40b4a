"""The configuration file that ``rempart init`` writes: every setting, its meaning and its default.

Made from the annotations of ``model.py``, so that it cannot lack one.
"""

import json
from dataclasses import is_dataclass

from rempart.settings.model import Model, Route, Settings
from rempart.settings.schema import Setting, table

_HEAD = """\
# Rempart's configuration. A line that begins with # shows a setting and its default.
# Every setting is also a variable: REMPART_SERVER__PORT=9000 is port in [server].
# Check the file with: rempart config check
"""
_FIRST_MODEL = """
# A model: what clients ask for by name, and what serves it. More of them: more [[models]].
[[models]]
name = "demo"                # what clients ask for
kind = "llama_cpp"           # llama_cpp, vllm, transformers, command or upstream
source = "demo"              # a GGUF file, a Hugging Face folder, a hub name, or demo
slots = 4                    # requests at a time, for all workers together
preload = true               # loaded at start; otherwise when it is first asked for
"""
_WRITTEN = frozenset({"name", "kind", "source", "slots", "preload"})
_COLUMN = 36


def template() -> str:
    """A whole file; it passes its own check and serves the demo model."""
    lines = [_HEAD]
    for setting in table(Settings).values():
        if not setting.kind.is_table and not setting.kind.is_table_list:
            lines += [_line(setting), ""]
    for name, setting in table(Settings).items():
        if setting.kind.is_table:
            lines += [f"[{name}]", *_section(name, setting.kind.base), ""]
    lines += [_FIRST_MODEL.strip("\n")]
    lines += _section("models", Model, _WRITTEN)
    lines += ["", "# Another path of a model's runner, behind the same door."]
    lines += ["# [[routes]]", *map(_line, table(Route).values())]
    return "\n".join(lines) + "\n"


def _section(name: str, base: type, written: frozenset[str] = frozenset()) -> list[str]:
    """A section's settings, then the tables inside it: TOML takes them in no other order."""
    settings = [one for key, one in table(base).items() if key not in written]
    lines = [_line(one) for one in settings if not one.kind.is_table]
    for inner in settings:
        if inner.kind.is_table:
            lines.append(f"# [{name}.{inner.path[-1]}]  # {inner.kind.doc}")
            lines += map(_line, table(inner.kind.base).values())
    return lines


def _line(setting: Setting) -> str:
    text = f"# {setting.path[-1]} = {_shown_default(setting)}"
    return f"{text:<{_COLUMN}} # {setting.kind.doc}"


def _shown_default(setting: Setting) -> str:
    default = setting.default
    if is_dataclass(default):
        return "{}"
    if default is None:
        return ""  # what is unset has a meaning of its own, which no value stands for
    if isinstance(default, float) and default == int(default):
        return str(int(default))
    return json.dumps(default, ensure_ascii=False)
