"""Names on a model hub → the files to fetch, by the address layout of the Hugging Face hub.

``GET /api/models/ORG/NAME?blobs=true`` lists a repository's files with sizes and SHA-256, and
``/ORG/NAME/resolve/REVISION/FILE`` is each file. Any mirror with that layout serves: HF_ENDPOINT.
"""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from rempart.runners.files.download import DownloadError

ENDPOINT = "https://huggingface.co"
LIST_BYTES_MAX = 16 * 1024 * 1024
LIST_S = 30.0
FILES_MAX = 2000
PREFERRED = ("Q4_K_M", "Q4_K_S", "Q4_0", "Q4_1", "Q5_K_M", "Q8_0")
"""Quantizations taken when none is asked for, the first that is there."""

HUB_NAME = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::(?P<quant>[\w.-]+))?")
_SHARD = re.compile(r"-\d{5}-of-(\d{5})\.gguf$", re.IGNORECASE)
# What transformers and vLLM read. Pickled weights are left out: loading them runs code.
_CHECKPOINT = re.compile(r"[^/]+\.(json|safetensors|txt|model|jinja|tiktoken)")


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """One file to fetch.

    Args:
        path: below the repository.
        size_bytes: None where the hub does not say.
        sha256: empty where the hub does not say.
    """

    path: str
    url: str
    size_bytes: int | None
    sha256: str


def list_files(name: str, endpoint: str, read_json: Callable[[str], Any]) -> list[HubFile]:
    """The files of a repository.

    Args:
        name: ``org/name``.
        read_json: gives the JSON document at an address.
    Raises:
        DownloadError: the hub does not have it, or answers with something else.
    """
    answer = read_json(f"{endpoint.rstrip('/')}/api/models/{quote(name)}?blobs=true")
    try:
        revision = str(answer.get("sha") or "main")
        files = [_file(name, endpoint, revision, entry) for entry in answer["siblings"][:FILES_MAX]]
    except (AttributeError, KeyError, TypeError) as error:
        raise DownloadError(
            f"{endpoint} did not list the files of {name}. Check HF_ENDPOINT."
        ) from error
    return [file for file in files if _is_inside(file.path)]


def choose(name: str, quant: str, files: list[HubFile]) -> list[HubFile]:
    """Which of a repository's files to fetch, in the order in which to fetch them.

    One GGUF model (all its parts), else a whole checkpoint; ``config.json`` comes last, so that a
    folder that has it is complete.

    Raises:
        DownloadError: there is nothing that fits, or several and none was asked for.
    """
    models = [file for file in files if _is_model(file.path)]
    if not models:
        if quant:
            raise DownloadError(
                f"{name} has no GGUF files. Leave out :{quant} to fetch its checkpoint."
            )
        return _checkpoint(name, files)
    for wanted in [quant] if quant else PREFERRED:
        fitting = [file for file in models if _has_quant(file.path, wanted)]
        if fitting:
            return _one_model(name, fitting)
    if not quant and _is_one_model(models):
        return models
    names = ", ".join(sorted(PurePosixPath(file.path).name for file in models)[:20])
    asked = f"no GGUF file of the quantization {quant}" if quant else "several GGUF files"
    raise DownloadError(f"{name} has {asked}: {names}. Ask for one: {name}:QUANTIZATION")


def read_json(url: str, token: str = "") -> Any:
    """The JSON document at ``url``, bounded in size and time.

    Raises:
        DownloadError: it cannot be read; with what to do.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{url}: HF_ENDPOINT must begin with http:// or https://.")
    request = urllib.request.Request(url, headers={"User-Agent": "rempart"})  # noqa: S310 - checked
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=LIST_S) as answer:  # noqa: S310 - checked above
            return json.loads(answer.read(LIST_BYTES_MAX))
    except urllib.error.HTTPError as error:
        with error:
            remedy = (
                "Check the name; a private one needs HF_TOKEN."
                if error.code < 500
                else "Try later."
            )
            raise DownloadError(f"{url}: the hub answered {error.code}. {remedy}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"{url}: the hub could not be read: {reason}. Check the network, or set HF_ENDPOINT to a "
            "mirror; a file can also be copied here and served by its path."
        ) from error


def _file(name: str, endpoint: str, revision: str, entry: Any) -> HubFile:
    path = str(entry["rfilename"])
    lfs = entry.get("lfs") or {}
    return HubFile(
        path=path,
        url=f"{endpoint.rstrip('/')}/{quote(name)}/resolve/{quote(revision, safe='')}/{quote(path)}",
        size_bytes=lfs.get("size") or entry.get("size"),
        sha256=str(lfs.get("sha256") or ""),
    )


def _is_inside(path: str) -> bool:
    """Whether it stays below its folder: the list comes from a server that need not be honest."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and "\\" not in path and ".." not in parts


def _is_model(path: str) -> bool:
    name = PurePosixPath(path).name
    return name.lower().endswith(".gguf") and not name.startswith("mmproj")


def _has_quant(path: str, quant: str) -> bool:
    """Whether the name has the quantization as a word: Q4_K is not in Q4_K_M."""
    pattern = rf"(?<![A-Za-z0-9]){re.escape(quant)}(?![A-Za-z0-9_])"
    return re.search(pattern, path, re.IGNORECASE) is not None


def _is_one_model(files: list[HubFile]) -> bool:
    """Whether these are one file, or all the parts of one."""
    parts = [_SHARD.search(file.path) for file in files]
    stems = {file.path[: part.start()] for file, part in zip(files, parts, strict=True) if part}
    return len(files) == 1 or (all(parts) and len(stems) == 1)


def _one_model(name: str, files: list[HubFile]) -> list[HubFile]:
    if _is_one_model(files):
        return files
    names = ", ".join(file.path for file in files[:20])
    raise DownloadError(f"{name} has several files that fit: {names}. Fetch one by its address.")


def _checkpoint(name: str, files: list[HubFile]) -> list[HubFile]:
    chosen = [file for file in files if _CHECKPOINT.fullmatch(file.path)]
    paths = {file.path for file in chosen}
    if "config.json" not in paths or not any(path.endswith(".safetensors") for path in paths):
        raise DownloadError(
            f"{name} has neither a GGUF file nor config.json with safetensors weights. "
            "Choose another model, or convert this one."
        )
    return sorted(chosen, key=lambda file: file.path == "config.json")
