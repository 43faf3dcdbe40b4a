"""Why a model did not load, in a sentence, from what the library printed. Pure."""

import re

REASON_CHARACTERS_MAX = 600

_LINE = re.compile(r"^[\d.]+ ([A-Z]) (.*)$")
_SIZE = re.compile(r"attempted to allocate ([\d.]+) MB|buffer of size (\d+)")
_MEMORY = (
    "insufficient memory",
    "failed to allocate",
    "unable to allocate",
    "cannot allocate",
    "bad_alloc",
    "out of memory",
    "cudamalloc failed",
)
_SAY_NOTHING = (
    "failed to load model",
    "exiting due to",
    "common_fit_params",
    "failed to create context",
    "failed to create_context",
    "please consider",
    "for example:",
)
"""Lines that only say that it failed, behind one that says why."""


def explain(printed: str, *, model: str, context: int, raised: str) -> str:
    """The reason for people.

    Args:
        printed: what the library wrote to standard error.
        model: the file's name.
        context: tokens of all slots together that were asked for.
        raised: the exception's text, for when nothing was printed.
    """
    errors = _errors(printed)
    whole = "\n".join(errors).lower()
    if any(words in whole for words in _MEMORY):
        return _memory(errors, model, context)
    if "chat template" in whole or "chat_template" in whole:
        detail = next((e for e in errors if "error:" in e), errors[0])
        return _cut(f"the chat template cannot be read: {_tail(detail)}. Correct the template.")
    if "lora" in whole:
        detail = next(e for e in errors if "lora" in e.lower())
        return _cut(f"a LoRA adapter does not load: {_tail(detail)}. Check its path and its model.")
    if "not within the file bounds" in whole or "failed to read" in whole:
        return f"{model} is incomplete or damaged. Fetch it again."
    if "unknown model architecture" in whole:
        detail = next(e for e in errors if "unknown model architecture" in e.lower())
        return _cut(f"{model}: {_tail(detail)}. A newer xllamacpp may know it.")
    telling = [e for e in errors if not any(words in e.lower() for words in _SAY_NOTHING)]
    detail = _tail(telling[0]) if telling else (_tail(errors[0]) if errors else raised)
    return _cut(f"{model} does not load: {detail}")


def _errors(printed: str) -> list[str]:
    found = []
    for line in printed.splitlines():
        match = _LINE.match(line)
        if match is None or match[1] == "E":
            text = match[2] if match is not None else line
            if text.strip():
                found.append(text.strip())
    return found


def _memory(errors: list[str], model: str, context: int) -> str:
    size = next((m for e in errors if (m := _SIZE.search(e))), None)
    wanted = ""
    if size is not None:
        mib = float(size[1]) if size[1] else int(size[2]) / 2**20
        wanted = f": {mib:,.0f} MiB in one piece were not to be had"
    return (
        f"there is not enough memory for {model} with a context of {context} tokens{wanted}. "
        "Lower 'context' or 'slots', or use a smaller model or quantization."
    )


def _tail(line: str) -> str:
    """The message without the names of functions before it."""
    return re.sub(r"^(\S+\s+)?\S*:\s+", "", line, count=1).strip().rstrip(".")


def _cut(text: str) -> str:
    return text if len(text) <= REASON_CHARACTERS_MAX else text[: REASON_CHARACTERS_MAX - 1] + "…"
