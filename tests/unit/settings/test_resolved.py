"""Settings between processes, and before people."""

import json

import msgspec
import pytest

from rempart.base.secret import MASK
from rempart.settings.model import Model, ModelDeadline, Route, Secrets, Settings
from rempart.settings.protection import Database
from rempart.settings.resolved import dump, masked, parse

SETTINGS = Settings(
    secrets=Secrets(master_key="hunter2"),
    models=[
        Model(
            name="far",
            kind="upstream",
            base_urls=["https://me:hunter2@h/v1"],
            api_key="hunter2",
            deadline=ModelDeadline(queue_s=3),
        ),
        Model(
            name="v",
            kind="vllm",
            source="o/n",
            args=["--api-key", "hunter2", "--hf-token=hunter2", "--max-num-seqs", "4"],
            env={"HF_TOKEN": "hunter2"},
        ),
    ],
    routes=[Route(path="/x", model="far")],
)


def test_what_one_process_writes_another_reads() -> None:
    assert parse(dump(SETTINGS)) == SETTINGS
    assert parse(dump(Settings())) == Settings()


def test_what_is_no_settings_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        parse(b'{"server": {"port": "x"}}')


def test_no_secret_is_shown_and_the_rest_is() -> None:
    values = masked(SETTINGS)
    assert "hunter2" not in json.dumps(values)
    assert values["secrets"] == {"master_key": MASK, "previous_master_key": ""}
    assert values["models"][1]["env"] == {"HF_TOKEN": MASK}
    assert values["models"][1]["args"] == [
        "--api-key",
        MASK,
        f"--hf-token={MASK}",
        "--max-num-seqs",
        "4",
    ]
    assert values["models"][0]["base_urls"] == [f"https://{MASK}@h/v1"]
    assert values["models"][0]["deadline"]["queue_s"] == 3


def test_an_unset_secret_is_shown_as_unset() -> None:
    assert masked(Settings())["secrets"] == {"master_key": "", "previous_master_key": ""}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite", "sqlite"),
        ("postgresql://rempart:hunter2@db/x", f"postgresql://{MASK}@db/x"),
        ("postgresql://db/x?user=a&password=hunter2&sslmode=x", f"postgresql://db/x?user=a&password={MASK}&sslmode=x"),
    ],
)  # fmt: skip
def test_a_database_is_shown_without_its_password(url: str, shown: str) -> None:
    values = masked(Settings(database=Database(url=url)))
    assert values["database"]["url"] == shown
