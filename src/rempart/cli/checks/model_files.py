"""The models' files: there, of the right form, small enough, able to chat."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from rempart.base.quantities import bytes_text, share_or_size_bytes
from rempart.cli.checks.finding import Finding, error, note, ok, warning
from rempart.runners.files.demo_model import DEMO_FILE
from rempart.runners.files.gguf_header import GgufError, lacking_bytes, read_header
from rempart.runners.files.source import SourceError, resolve_source
from rempart.runners.memory import estimate_bytes
from rempart.settings.model import Model, Settings
from rempart.settings.source import DEMO, is_hub_name

_FIRST_PART = re.compile(r"-00001-of-(\d{5})\.gguf$")
CHAT_TEMPLATE = "tokenizer.chat_template"


def model_files(settings: Settings, memory_bytes: int) -> list[Finding]:
    """Findings for every model that has files, and whether what is loaded at start fits together.

    Args:
        memory_bytes: of the machine; the budget may be a share of it.
    """
    budget = share_or_size_bytes(settings.memory.budget, memory_bytes)
    findings: list[Finding] = []
    together = 0
    for model in settings.models:
        if model.kind == "llama_cpp":
            found, needed = gguf(model, Path(settings.data_dir) / "models", budget)
            findings += found
            together += needed if model.pin or model.preload else 0
        elif model.kind in ("transformers", "vllm"):
            findings += checkpoint(model)
    if together > budget and sum(1 for model in settings.models if model.pin or model.preload) > 1:
        findings.append(
            error(
                "memory",
                f"the models loaded at start need about {bytes_text(together)}, memory.budget allows "
                f"{bytes_text(budget)} ({settings.memory.budget})",
                "Preload fewer of them, or choose smaller ones.",
            )
        )
    return findings or [note("model", "no model is configured", "Name one: rempart serve demo")]


def gguf(model: Model, models_dir: Path, budget_bytes: int) -> tuple[list[Finding], int]:
    """What is to be said of one GGUF model, and about how many bytes of memory it needs."""
    if model.source == DEMO and not (models_dir / DEMO_FILE).exists():
        return [
            note("model", f"{model.name}: the demo model will be fetched at the first start")
        ], 0
    try:
        path = resolve_source(model.source, models_dir)
        header = read_header(path)
    except SourceError as problem:
        return [error("model", f"{model.name}: {problem}", "Correct models.source.")], 0
    except (GgufError, OSError) as problem:
        return [error("model", f"{model.name}: {problem}", "Fetch the file again.")], 0
    parts, lacking = _parts(path)
    if lacking:
        return [
            error(
                "model",
                f"{model.name}: {path.parent} lacks {', '.join(lacking)}",
                "Fetch these too.",
            )
        ], 0
    try:
        missing = {part.name: lacking_bytes(part) for part in parts}
    except (GgufError, OSError) as problem:
        return [error("model", f"{model.name}: {problem}", "Fetch the file again.")], 0
    for name, lacking_count in missing.items():
        if lacking_count:
            cut = f"{model.name}: {name} is cut off: {bytes_text(lacking_count)} are missing at its end"
            return [error("model", cut, "Fetch the file again.")], 0
    weights = sum(part.stat().st_size for part in parts)
    needed = estimate_bytes(header, weights, model.context, model.batch)
    size = f"{model.name}: {path.name} needs about {bytes_text(needed)} of memory"
    if needed > budget_bytes:
        remedy = "Choose a smaller quantization or a smaller context, or raise memory.budget."
        found = [error("model", f"{size}, memory.budget allows {bytes_text(budget_bytes)}", remedy)]
    else:
        found = [ok("model", size)]
    return [*found, *_chat_template(model, CHAT_TEMPLATE in header)], needed


def checkpoint(model: Model) -> list[Finding]:
    """What is to be said of a Hugging Face folder."""
    if is_hub_name(model.source) and not Path(model.source).exists():
        return [
            note("model", f"{model.name}: {model.source} will be fetched by {model.kind} itself")
        ]
    folder = Path(model.source)
    if not (folder / "config.json").is_file():
        return [
            error(
                "model",
                f"{model.name}: {folder} has no config.json",
                "Name the folder of a checkpoint.",
            )
        ]
    try:
        json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return [
            error("model", f"{model.name}: {folder / 'config.json'} is not JSON", "Fetch it again.")
        ]
    if not any(folder.glob("*.safetensors")):
        return [
            error(
                "model",
                f"{model.name}: {folder} has no *.safetensors weights",
                "Fetch them, or save the model anew with save_pretrained(safe_serialization=True).",
            )
        ]
    found = [ok("model", f"{model.name}: {folder}")]
    return [*found, *_chat_template(model, _has_template(folder))]


def _has_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").exists() or (folder / "chat_template.json").exists():
        return True
    try:
        return "chat_template" in json.loads((folder / "tokenizer_config.json").read_text())
    except (OSError, ValueError):
        return False


def _chat_template(model: Model, has_one: bool) -> list[Finding]:
    if has_one or model.chat_template or model.embeddings:
        return []
    return [
        warning(
            "chat_template",
            f"{model.name}: the model has no chat template: chats are put in a general form that it "
            "may not have been trained on",
            "Use /v1/completions, or give the template of its base model (chat_template = FILE).",
        )
    ]


def _parts(path: Path) -> tuple[Sequence[Path], list[str]]:
    """All files of a model in parts, and the names of those that are not there."""
    match = _FIRST_PART.search(path.name)
    if match is None:
        return [path], []
    stem = path.name[: match.start()]
    names = [f"{stem}-{number:05d}-of-{match[1]}.gguf" for number in range(1, int(match[1]) + 1)]
    parts = [path.with_name(name) for name in names]
    return [part for part in parts if part.exists()], [
        part.name for part in parts if not part.exists()
    ]
