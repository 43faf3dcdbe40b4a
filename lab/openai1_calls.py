"""What a program written for the official client of 2024 (openai 1.x) does; run in an environment of its own.

    .venv-openai1/bin/python lab/openai1_calls.py BASE_URL KEY MODEL

Prints one JSON object of findings.
"""

import json
import sys

import openai


def main(base_url: str, key: str, model: str) -> None:
    client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=60)
    messages = [{"role": "user", "content": "Say hello in French."}]
    wanted = {"model": model, "messages": messages, "max_tokens": 12, "temperature": 0, "seed": 1}
    whole = client.chat.completions.create(**wanted)
    streamed = "".join(
        chunk.choices[0].delta.content or ""
        for chunk in client.chat.completions.create(**wanted, stream=True)
    )
    completion = client.completions.create(
        model=model, prompt="The capital of France is", max_tokens=4
    )
    found = {
        "version": openai.__version__,
        "content": whole.choices[0].message.content,
        "streamed": streamed,
        "total_tokens": whole.usage.total_tokens,
        "models": [one.id for one in client.models.list()],
        "completion": completion.choices[0].text,
        "errors": [],
    }
    for call in (
        lambda: client.chat.completions.create(model="none", messages=messages),
        lambda: client.chat.completions.create(model=model, messages=[]),
        lambda: openai.OpenAI(base_url=base_url, api_key="wrong", max_retries=0).models.list(),
    ):
        try:
            call()
        except openai.APIStatusError as error:
            found["errors"].append([type(error).__name__, error.code, bool(error.request_id)])
    try:
        for _ in client.chat.completions.create(
            model=model, messages=messages, max_tokens=1500, stream=True, extra_body={"ignore_eos": True},
            extra_headers={"x-request-timeout": "1"},
        ):  # fmt: skip
            pass
    except openai.APIError as error:
        found["errors"].append([type(error).__name__, error.code, True])
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
