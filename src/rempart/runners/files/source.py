"""What ``source`` of a llama.cpp model names: a GGUF file, a folder with one, or the demo model."""

import re
from pathlib import Path

from rempart.runners.files.demo_model import DEMO_FILE, DEMO_SOURCE

GGUF_MAGIC = b"GGUF"

_FIRST_SHARD = re.compile(r"-00001-of-\d{5}\.gguf$")
_ANY_SHARD = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


class SourceError(Exception):
    """``source`` does not lead to a GGUF file; the text says what was expected and what to do."""


def resolve_source(source: str, models_dir: Path) -> Path:
    """The GGUF file that ``source`` names. Looks at the disk, fetches nothing.

    Args:
        source: ``demo``; a file; a folder with one GGUF file (of a split model its first part); or
            the name of a file or folder in ``models_dir``.
        models_dir: the data folder's models.

    Raises:
        SourceError: there is no such file, or it is not a GGUF.
    """
    if source == DEMO_SOURCE:
        return _demo(models_dir)
    if not source:
        raise SourceError("source is empty. Write a GGUF file, a folder with one, or 'demo'.")
    for path in (Path(source).expanduser(), models_dir / source):
        if path.is_dir():
            return _checked(_in_folder(path))
        if path.exists():
            return _checked(path)
    remedy = "Check the path, or write 'demo' for the small model that comes with Rempart."
    if _HUB_NAME.fullmatch(source) and not source.endswith(".gguf"):
        remedy = (
            f"If it is a name on a model hub, fetch it first with: rempart models pull {source}"
        )
    raise SourceError(
        f"there is no file {source!r}, nor one of that name in {models_dir}. {remedy}"
    )


def _demo(models_dir: Path) -> Path:
    path = models_dir / DEMO_FILE
    if not path.exists():
        raise SourceError(
            f"the demo model is not in {models_dir}. Fetch it with: rempart models pull demo"
        )
    return _checked(path)


def _in_folder(folder: Path) -> Path:
    files = sorted(folder.glob("*.gguf"))
    models = [f for f in files if _FIRST_SHARD.search(f.name) or not _ANY_SHARD.search(f.name)]
    # A vision model's projector lies beside the model and is not one.
    models = [f for f in models if not f.name.startswith("mmproj")]
    if len(models) == 1:
        return models[0]
    if models:
        names = ", ".join(f.name for f in models[:5])
        raise SourceError(
            f"{folder} holds {len(models)} GGUF models ({names}). Name the one to serve."
        )
    if (folder / "config.json").exists():
        raise SourceError(
            f"{folder} is a Hugging Face checkpoint, not a GGUF. Serve it with "
            "kind = 'transformers', or convert it with: rempart models quantize"
        )
    raise SourceError(f"{folder} holds no GGUF file. Put the model's .gguf file there, or name it.")


def _checked(path: Path) -> Path:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as exc:
        raise SourceError(f"{path} cannot be read: {exc.strerror}. Check its permissions.") from exc
    if magic != GGUF_MAGIC:
        raise SourceError(
            f"{path} is not a GGUF file (it starts with {magic!r}, not {GGUF_MAGIC!r}). "
            "A download that broke off, or a web page saved in its place, looks like this: "
            "fetch it again."
        )
    return path
