"""The page made from an OpenAPI document."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rempart.wire.docs_page import CONTENT_SECURITY_POLICY, docs_page

DOCUMENT: dict[str, Any] = {
    "info": {"title": "Door <1>", "version": "1 & 2", "description": "First.\n\nUse `curl`."},
    "security": [{"key": []}],
    "paths": {
        "/things/{id}": {
            "parameters": [],
            "get": {
                "tags": ["things"],
                "summary": "Show a thing",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"$ref": "#/components/parameters/Limit"},
                ],
                "responses": {
                    "200": {
                        "description": "It",
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}
                        },
                    },
                    "404": {"description": "None", "content": {"application/json": {"schema": {}}}},
                },
            },
        },
        "/livez": {"get": {"security": [], "responses": {}}},
        "/make": {
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"type": "array", "items": {"type": "integer"}}
                        }
                    }
                }
            }
        },
    },
    "components": {
        "parameters": {
            "Limit": {
                "name": "limit",
                "in": "query",
                "schema": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            }
        },
        "schemas": {
            "Thing": {
                "properties": {
                    "kind": {"enum": ["a", "b"]},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
                    "fixed": {"const": 7},
                    "either": {
                        "oneOf": [
                            {"properties": {"x": {"type": ["string", "null"]}}},
                            {"type": "null"},
                        ]
                    },
                }
            }
        },
    },
}


class Tags(HTMLParser):
    """Every element with its attributes, and whether all were closed in order."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_operations_parameters_and_shapes_are_told() -> None:
    page = docs_page(DOCUMENT).decode()
    assert "<b>GET</b> <code>/things/{id}</code> Show a thing</summary>" in page
    assert "<b>GET</b> <code>/livez</code>  (no key)</summary>" in page
    assert (
        "<code>limit</code></td><td>query</td><td><code>&quot;integer | null&quot;</code>" in page
    )
    assert "(needed)" in page
    assert "&quot;kind&quot;: &quot;a | b&quot;" in page
    assert "&quot;fixed&quot;: 7" in page
    assert "&quot;x&quot;: &quot;string | null&quot;" in page
    assert "<h3>Body</h3>" in page
    assert "<pre>[\n  &quot;integer&quot;\n]</pre>" in page
    assert "<h2>things</h2>" in page
    assert "<h2>other</h2>" in page
    assert "<p>Use <code>curl</code>.</p>" in page


def test_texts_of_the_document_are_text_on_the_page() -> None:
    page = docs_page(DOCUMENT).decode()
    assert "<h1>Door &lt;1&gt;</h1>" in page
    assert "Version 1 &amp; 2" in page


def test_nothing_is_loaded_from_anywhere_and_nothing_runs() -> None:
    tags = Tags(docs_page(DOCUMENT))
    assert tags.open == []
    assert not {"script", "link", "img", "iframe", "form"} & {tag for tag, _ in tags.elements}
    for _, attributes in tags.elements:
        assert not [
            name for name in attributes if name.startswith("on") or name in ("src", "style")
        ]
    assert [a["href"] for tag, a in tags.elements if tag == "a"] == ["openapi.json"]


def test_the_policy_allows_this_style_and_nothing_else() -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", docs_page(DOCUMENT).decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY


def test_a_shape_that_holds_itself_ends() -> None:
    assert docs_page(DOCUMENT).decode().count("parts") < 20


def test_a_bare_document_is_a_page() -> None:
    assert Tags(docs_page({})).open == []


@given(st.text(), st.text(), st.text())
def test_no_text_gets_out_of_its_place(title: str, summary: str, path: str) -> None:
    document = {
        "info": {"title": title, "description": summary},
        "paths": {
            path: {
                "get": {
                    "summary": summary,
                    "tags": [title],
                    "responses": {title: {"description": summary}},
                }
            }
        },
    }
    page = docs_page(document)
    plain = docs_page(document | {"info": {}})
    assert Tags(page).open == []
    known = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "h3",
        "p",
        "a",
        "code",
        "details",
        "summary",
        "b",
    }
    assert {tag for tag, _ in Tags(page).elements} <= known
    assert {tag for tag, _ in Tags(plain).elements} <= known
