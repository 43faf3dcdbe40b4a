"""An operator's system prompt, and clients' own."""

from typing import Any

from rempart.wire.system_policy import drop_system_messages, put_system_prompt, system_places

USER = {"role": "user", "content": "hi"}


def test_places_are_found_in_every_protocol() -> None:
    body = {
        "system": "x",
        "instructions": "y",
        "messages": [USER, {"role": "developer", "content": "z"}],
        "input": [{"role": "system", "content": "z"}],
    }
    assert [fault.path for fault in system_places(body)] == [
        "system", "instructions", "messages[1].role", "input[0].role"
    ]  # fmt: skip
    assert system_places({"messages": [USER], "input": "x", "system": ""}) == []


def test_dropped_messages_are_counted_wherever_they_stand() -> None:
    chat: dict[str, Any] = {"messages": [{"role": "system"}, USER, {"role": "developer"}]}
    assert drop_system_messages(chat) == 2
    assert chat["messages"] == [USER]


def test_the_prompt_comes_first_and_shares_the_turn_of_a_clients_own() -> None:
    chat: dict[str, Any] = {"messages": [USER]}
    put_system_prompt(chat, "Rule.")
    assert chat["messages"] == [{"role": "system", "content": "Rule."}, USER]
    chat = {"messages": [{"role": "developer", "content": "Mine."}, USER]}
    put_system_prompt(chat, "Rule.")
    assert chat["messages"] == [{"role": "system", "content": "Rule.\n\nMine."}, USER]
    chat = {"messages": [{"role": "system", "content": [{"type": "text", "text": "Mine."}]}]}
    put_system_prompt(chat, "Rule.")
    assert [one["text"] for one in chat["messages"][0]["content"]] == ["Rule.\n\n", "Mine."]
