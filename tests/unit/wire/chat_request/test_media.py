"""Media come with the request; an address is never passed on."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.wire.chat_request import media_faults


def paths(*parts: Any) -> list[str]:
    body = {
        "messages": [{"role": "user", "content": "hi"}, {"role": "user", "content": list(parts)}]
    }
    return [fault.path for fault in media_faults(body)]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "see http://example.com"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "auto"}},
        {"type": "image_url", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_audio", "input_audio": {"data": "/9j/AA==", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": "data:audio/wav;base64,AA=="}},
        {
            "type": "file",
            "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
        },
    ],
)
def test_content_that_comes_along_is_sound(part: dict[str, Any]) -> None:
    assert paths(part) == []


ADDRESSES = [
    "http://169.254.169.254/latest/meta-data",
    "https://example.com/a.png",
    "file:///etc/passwd",
    "HTTP://example.com",
    "ftp://example.com",
    "//example.com/a.png",
    "DATA:image/png;base64,AA==",
    " data:image/png;base64,AA==",
    "/etc/passwd",
    "",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("kind", ["image_url", "video_url", "audio_url"])
def test_an_address_is_a_fault(kind: str, address: str) -> None:
    assert paths({"type": kind, kind: {"url": address}}) == [f"messages[1].content[0].{kind}.url"]
    assert paths({"type": kind, kind: address}) == [f"messages[1].content[0].{kind}"]


@pytest.mark.parametrize("address", [a for a in ADDRESSES if "://" in a])
@pytest.mark.parametrize("kind", ["input_audio", "input_video", "input_image", "new_kind"])
def test_an_address_hidden_where_data_belongs_is_a_fault(kind: str, address: str) -> None:
    assert paths({"type": kind, kind: {"data": address}}) == [f"messages[1].content[0].{kind}.data"]
    assert paths({"type": kind, kind: [{"deep": address}]}) == [
        f"messages[1].content[0].{kind}.0.deep"
    ]


def test_every_fault_is_listed_also_of_tools_and_nesting_has_an_end() -> None:
    picture = {"type": "image_url", "image_url": {"url": "http://x"}}
    assert len(paths(picture, picture)) == 2
    body = {"messages": [{"role": "tool", "tool_call_id": "c", "content": [picture]}]}
    assert len(media_faults(body)) == 1
    deep: Any = "x"
    for _ in range(50):
        deep = {"a": deep}
    assert len(paths({"type": "image_url", "image_url": deep})) == 1


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(ANY, ANY)
def test_bodies_of_any_shape_never_raise(messages: Any, content: Any) -> None:
    media_faults({"messages": messages})
    media_faults({"messages": [{"content": content}, {"content": [content]}]})
