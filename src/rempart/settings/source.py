"""What a model's ``source`` means: a GGUF file, a Hugging Face folder, a hub name, or ``demo``.

A relative path is looked for in the folder where the command was started, then among what
``rempart models pull`` has fetched (``DATA/models``).
"""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rempart.settings.explain import Problem, SettingsError, problem
from rempart.settings.model import Model, Settings
from rempart.settings.schema import Path as SettingPath

DEMO = "demo"
SLOTS_DEFAULT = {"llama_cpp": 4, "transformers": 1}
"""Slots of ``serve MODEL``; transformers serves one request at a time."""

HUB_NAME = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::(?P<quant>[\w.-]+))?")
_SHARD = re.compile(r"-(\d{5})-of-\d{5}$")
_QUANTIZATION = re.compile(
    r"[-._](?:UD-)?"
    r"(?:I?Q\d+(?:_[A-Z0-9]+)*|TQ\d_\d|MXFP4(?:_MOE)?|B?F16|F32|FP(?:8|16|32)|INT[48]|[48]BIT|AWQ|GPTQ)$",
    re.IGNORECASE,
)


def name_of(source: str) -> str:
    """The name under which ``serve SOURCE`` serves it: the last part, no extension or quantization.

    ``models/droit-q4_k_m.gguf`` → ``droit``, ``org/Mistral-7B:Q4_K_M`` → ``Mistral-7B``.
    """
    last = source.rstrip("/").rsplit("/", 1)[-1]
    if HUB_NAME.fullmatch(source) and not last.endswith(".gguf"):
        last = last.partition(":")[0]
    last = re.sub(r"\.gguf$", "", last, flags=re.IGNORECASE)
    bare = _QUANTIZATION.sub("", _SHARD.sub("", last))
    return bare or last


def is_hub_name(source: str) -> bool:
    """Whether it has the form ``org/name`` or ``org/name:quant``; a path may have it too."""
    return HUB_NAME.fullmatch(source) is not None


def find(source: str, folder: Path, data_dir: Path) -> Path | None:
    """The file or folder that ``source`` names, or None when there is none yet.

    For a folder with GGUF files and no ``config.json``: the only model in it, or the one of the
    quantization asked for.
    """
    if not source or source == DEMO:
        return None
    hub = HUB_NAME.fullmatch(source)
    for place in (folder / source, data_dir / "models" / source):
        if os.path.exists(place):  # where Path.exists raises, in a folder that may not be read
            return _inside(place, "") or place
    if hub:
        place = data_dir / "models" / hub["name"]
        if place.is_dir():
            return _inside(place, hub["quant"] or "") or (None if hub["quant"] else place)
    return None


def gguf_files(folder: Path) -> list[Path]:
    """The GGUF models in a folder: of one in several parts the first, no projector files."""
    found = []
    for path in sorted(folder.glob("*.gguf")):
        shard = _SHARD.search(path.stem)
        if (shard is None or int(shard[1]) == 1) and not path.name.startswith("mmproj"):
            found.append(path)
    return found


def _inside(place: Path, quant: str) -> Path | None:
    if not place.is_dir() or (place / "config.json").exists():
        return None
    files = gguf_files(place)
    if quant:
        files = [path for path in files if quant.lower() in path.name.lower()]
    return files[0] if len(files) == 1 else None


def located(model: Model, folder: Path, data_dir: Path) -> str:
    """The source as the runner is given it: an absolute path where it exists, else as written."""
    path = find(model.source, folder, data_dir)
    return str(path.absolute()) if path is not None else model.source


def serve_first(settings: Settings, argument: str, folder: Path) -> Settings:
    """The settings with the model of ``serve MODEL`` first, loaded at start.

    A name of one of ``[[models]]`` means that one; anything else is added.

    Raises:
        SettingsError: it is no model, or its name is taken.
    """
    names = [model.name for model in settings.models]
    if argument in names:
        chosen = settings.models[names.index(argument)]
        others = [model for model in settings.models if model is not chosen]
        return replace(settings, models=[replace(chosen, preload=True), *others])
    model = derive(argument, folder, Path(settings.data_dir))
    if model.name in names:
        raise SettingsError(
            [
                f'{argument}: it would be served as "{model.name}", as another of [[models]] is. '
                f"Rename that one, or serve it by its name: rempart serve {model.name}"
            ]
        )
    return replace(settings, models=[model, *settings.models])


def derive(argument: str, folder: Path, data_dir: Path) -> Model:
    """The model that ``serve ARGUMENT`` means.

    Raises:
        SettingsError: there is no such file, or it is of no form that can be served.
    """
    if argument == DEMO:
        return _served(argument, "llama_cpp", DEMO)
    path = find(argument, folder, data_dir)
    if path is None:
        raise SettingsError([f"{argument}: {_not_found(argument, data_dir)}"])
    if path.is_dir():
        if (path / "config.json").exists():
            return _served(argument, "transformers", str(path.absolute()))
        names = ", ".join(file.name for file in gguf_files(path))
        reason = (
            f"several models ({names}). Name one of these files."
            if names
            else "neither. Name another folder."
        )
        raise SettingsError(
            [
                f"{argument}: the folder must hold config.json (Hugging Face) or one GGUF file, "
                f"found {reason}"
            ]
        )
    if not os.access(path, os.R_OK):
        raise SettingsError(
            [f"{argument}: this user may not read the file. Change its mode or owner."]
        )
    if not is_gguf(path):
        raise SettingsError(
            [
                f"{argument}: the file must be GGUF, found something else. Name a GGUF file, "
                "or the folder of a Hugging Face checkpoint."
            ]
        )
    return _served(argument, "llama_cpp", str(path.absolute()))


def is_gguf(path: Path) -> bool:
    """Whether the file begins as GGUF files do."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def _served(argument: str, kind: str, source: str) -> Model:
    slots = SLOTS_DEFAULT[kind]
    if kind == "llama_cpp":
        return Model(
            name=name_of(argument), kind="llama_cpp", source=source, slots=slots, preload=True
        )
    return Model(
        name=name_of(argument), kind="transformers", source=source, slots=slots, preload=True
    )


def _not_found(argument: str, data_dir: Path) -> str:
    if is_hub_name(argument):
        return (
            f"there is no such file or folder, and no such hub model in {data_dir / 'models'}. "
            f"Fetch it first: rempart models pull {argument}"
        )
    return "there is no such file or folder. Check the path, or try: rempart serve demo"


def missing_files(settings: Settings) -> Iterator[Problem]:
    """Files that the models name and that are not there, in settings whose sources are located.

    A hub name is none for the kinds that fetch models by themselves.
    """
    for number, model in enumerate(settings.models):
        if model.source and model.source != DEMO and not Path(model.source).exists():
            is_hub = is_hub_name(model.source)
            if model.kind == "llama_cpp" or not is_hub:
                pull = f"Fetch it first: rempart models pull {model.source}"
                yield _absent(("models", number, "source"), model.source, pull if is_hub else "")
        for field in ("draft", "chat_template"):
            value = getattr(model, field)
            if value and not Path(value).is_file():
                yield _absent(("models", number, field), value)
        for place, lora in enumerate(model.loras):
            if not Path(lora).is_file():
                yield _absent(("models", number, "loras", place), lora)


def _absent(path: SettingPath, value: str, remedy: str = "") -> Problem:
    finding = f'"{value}", which is not there'
    return problem(path, "be an existing file or folder", finding, remedy or "Check the path.")
