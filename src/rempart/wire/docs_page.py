"""An OpenAPI document → one HTML page that needs nothing from anywhere: no script, no font, no image.

Shared by both doors. The page's only style is allowed by its digest, everything else is forbidden
(Content Security Policy Level 3, section 8.4).
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
SCHEMA_DEPTH_MAX = 6
PARAMETER_DEPTH_MAX = 2

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; } h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
code, pre { font: .875rem/1.5 ui-monospace, monospace; }
pre { background: var(--soft); padding: .75rem; overflow-x: auto; border-radius: .25rem; }
details { border: 1px solid var(--line); border-radius: .25rem; margin: .5rem 0; padding: .5rem .75rem; }
summary { cursor: pointer; } summary b { display: inline-block; min-width: 4.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); padding: .25rem .5rem; }
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DOCS_HEADERS: dict[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""What the answer with the page must carry beside its content type, ``text/html; charset=utf-8``."""


def docs_page(openapi: Mapping[str, Any]) -> bytes:
    """The page for an OpenAPI 3 document, as UTF-8 HTML."""
    info = openapi.get("info", {})
    title = escape(str(info.get("title", "API")))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1><p>Version {escape(str(info.get('version', '')))} · "
        '<a href="openapi.json">openapi.json</a></p>',
        *_paragraphs(str(info.get("description", ""))),
        *_operations(openapi),
        "</body></html>",
    ]
    return "\n".join(parts).encode()


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        if paragraph.strip():
            yield f"<p>{_inline(paragraph)}</p>"


def _inline(text: str) -> str:
    """Text with `code` in back-ticks."""
    pieces = escape(text).split("`")
    if len(pieces) % 2 == 0:
        return escape(text)
    return "".join(
        f"<code>{piece}</code>" if number % 2 else piece for number, piece in enumerate(pieces)
    )


def _operations(openapi: Mapping[str, Any]) -> Iterator[str]:
    """Grouped by their first tag, in the order of the document."""
    groups: dict[str, list[str]] = {}
    for path, item in openapi.get("paths", {}).items():
        for method in METHODS:
            if isinstance(operation := item.get(method), Mapping):
                tag = str((operation.get("tags") or ["other"])[0])
                groups.setdefault(tag, []).append(_operation(openapi, path, method, operation))
    for tag, operations in groups.items():
        yield f"<h2>{escape(tag)}</h2>"
        yield from operations


def _operation(
    openapi: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]
) -> str:
    needs_key = bool(operation.get("security", openapi.get("security")))
    parts = [
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> "
        f"{_inline(str(operation.get('summary', '')))}{'' if needs_key else ' (no key)'}</summary>",
        *_paragraphs(str(operation.get("description", ""))),
        *_parameters(openapi, operation.get("parameters", [])),
        *_body(openapi, operation.get("requestBody")),
        *_answers(openapi, operation.get("responses", {})),
        "</details>",
    ]
    return "\n".join(parts)


def _parameters(openapi: Mapping[str, Any], parameters: list[Any]) -> Iterator[str]:
    if not parameters:
        return
    yield "<h3>Parameters</h3><table><tr><th>name</th><th>in</th><th>takes</th><th></th></tr>"
    for parameter in parameters:
        found = _followed(openapi, parameter)
        takes = json.dumps(
            _outline(openapi, found.get("schema", {}), PARAMETER_DEPTH_MAX), ensure_ascii=False
        )
        needed = " (needed)" if found.get("required") else ""
        yield (
            f"<tr><td><code>{escape(str(found.get('name', '')))}</code></td>"
            f"<td>{escape(str(found.get('in', '')))}</td><td><code>{escape(takes)}</code></td>"
            f"<td>{_inline(str(found.get('description', '')))}{needed}</td></tr>"
        )
    yield "</table>"


def _body(openapi: Mapping[str, Any], body: Any) -> Iterator[str]:
    if isinstance(body, Mapping):
        yield "<h3>Body</h3>"
        yield from _contents(openapi, _followed(openapi, body).get("content", {}))


def _answers(openapi: Mapping[str, Any], answers: Mapping[str, Any]) -> Iterator[str]:
    for status, answer in answers.items():
        found = _followed(openapi, answer)
        yield f"<h3>{escape(str(status))} {_inline(str(found.get('description', '')))}</h3>"
        # Errors all look alike; their shape is told once, by the others' absence.
        if str(status).startswith("2"):
            yield from _contents(openapi, found.get("content", {}))


def _contents(openapi: Mapping[str, Any], contents: Mapping[str, Any]) -> Iterator[str]:
    for kind, content in contents.items():
        outline = _outline(openapi, content.get("schema", {}), SCHEMA_DEPTH_MAX)
        text = json.dumps(outline, indent=2, ensure_ascii=False)
        yield f"<p><code>{escape(str(kind))}</code></p><pre>{escape(text)}</pre>"


def _followed(openapi: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    """What a ``$ref`` within the document leads to; one step is all that we write."""
    reference = value.get("$ref") if isinstance(value, Mapping) else None
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return value if isinstance(value, Mapping) else {}
    found: Any = openapi
    for part in reference[2:].split("/"):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _outline(openapi: Mapping[str, Any], schema: Any, depth: int) -> Any:
    """A schema as an example of its shape: names with types in place of values."""
    found = _followed(openapi, schema)
    if depth == 0:
        return "…"
    if "enum" in found:
        return " | ".join(str(value) for value in found["enum"])
    if "const" in found:
        return found["const"]
    for joined in ("anyOf", "oneOf", "allOf"):
        if found.get(joined):
            shapes = [_outline(openapi, part, depth - 1) for part in found[joined]]
            texts = [shape for shape in shapes if isinstance(shape, str)]
            return " | ".join(texts) if len(texts) == len(shapes) else shapes[0]
    if "properties" in found:
        return {
            name: _outline(openapi, part, depth - 1) for name, part in found["properties"].items()
        }
    if found.get("type") == "array":
        return [_outline(openapi, found.get("items", {}), depth - 1)]
    kind = found.get("type", "any")
    return " | ".join(kind) if isinstance(kind, list) else kind
