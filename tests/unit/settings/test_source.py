"""What ``serve MODEL`` and a model's source mean."""

from dataclasses import replace
from pathlib import Path

import pytest

from rempart.settings.explain import SettingsError
from rempart.settings.model import Model, Settings
from rempart.settings.source import (
    derive,
    find,
    is_hub_name,
    located,
    missing_files,
    name_of,
    serve_first,
)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("demo", "demo"),
        ("models/x.gguf", "x"),
        ("models/droit-q4_k_m.gguf", "droit"),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("Qwen3-8B-UD-Q4_K_XL.gguf", "Qwen3-8B"),
        ("m-IQ3_XXS.GGUF", "m"),
        ("m.f16.gguf", "m"),
        ("m-bf16-00001-of-00003.gguf", "m"),
        ("gpt-oss-20b-mxfp4.gguf", "gpt-oss-20b"),
        ("checkpoints/my-mistral/", "my-mistral"),
        ("checkpoints/model-v1.2", "model-v1.2"),
        ("org/Mistral-7B:Q4_K_M", "Mistral-7B"),
        ("Pyzeur/Code-du-Travail-mistral-finetune", "Code-du-Travail-mistral-finetune"),
        ("org/Llama-3-8B-AWQ", "Llama-3-8B"),
        ("q4_0.gguf", "q4_0"),
    ],
)
def test_a_model_is_called_by_the_last_part_without_extension_and_quantization(
    source: str, name: str
) -> None:
    assert name_of(source) == name


def gguf(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF\x03\x00\x00\x00")
    return path


def test_a_gguf_file_is_for_llama_cpp(tmp_path: Path) -> None:
    path = gguf(tmp_path / "models/droit-q4_k_m.gguf")
    assert derive("models/droit-q4_k_m.gguf", tmp_path, tmp_path / "data") == Model(
        name="droit", kind="llama_cpp", source=str(path), slots=4, preload=True
    )


def test_a_folder_with_config_json_is_for_transformers(tmp_path: Path) -> None:
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt/config.json").write_text("{}")
    model = derive("ckpt", tmp_path, tmp_path / "data")
    assert (model.kind, model.name, model.source, model.preload) == (
        "transformers",
        "ckpt",
        str(tmp_path / "ckpt"),
        True,
    )


def test_a_folder_with_one_gguf_model_is_that_model(tmp_path: Path) -> None:
    first = gguf(tmp_path / "m/x-00001-of-00002.gguf")
    gguf(tmp_path / "m/x-00002-of-00002.gguf")
    gguf(tmp_path / "m/mmproj-x.gguf")
    assert derive("m", tmp_path, tmp_path / "data").source == str(first)


def test_a_checkpoint_with_a_gguf_file_beside_it_is_a_checkpoint(tmp_path: Path) -> None:
    gguf(tmp_path / "m/x.gguf")
    (tmp_path / "m/config.json").write_text("{}")
    assert derive("m", tmp_path, tmp_path / "data").kind == "transformers"


def test_demo_stays_demo_until_its_file_is_fetched(tmp_path: Path) -> None:
    assert derive("demo", tmp_path, tmp_path).source == "demo"
    assert located(Model(name="d", source="demo"), tmp_path, tmp_path) == "demo"


def test_what_was_pulled_is_found_by_its_file_or_hub_name(tmp_path: Path) -> None:
    data = tmp_path / "data"
    plain = gguf(data / "models/x-q8_0.gguf")
    small, large = gguf(data / "models/o/n/n-Q4_K_M.gguf"), gguf(data / "models/o/n/n-Q8_0.gguf")
    (data / "models/o/hf").mkdir()
    (data / "models/o/hf/config.json").write_text("{}")
    assert find("x-q8_0.gguf", tmp_path, data) == plain
    assert find("o/n:q4_k_m", tmp_path, data) == small
    assert find("o/n:Q8_0", tmp_path, data) == large
    assert find("o/n:Q2_K", tmp_path, data) is None
    assert find("o/hf", tmp_path, data) == data / "models/o/hf"
    assert find("o/other", tmp_path, data) is None
    assert derive("o/n:Q8_0", tmp_path, data).name == "n"


def errors(argument: str, tmp_path: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        derive(argument, tmp_path, tmp_path / "data")
    return str(caught.value)


def test_a_file_that_may_not_be_read_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf(tmp_path / "x.gguf")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "this user may not read the file" in errors("x.gguf", tmp_path)


def test_what_cannot_be_served_says_why_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"PK\x03\x04")
    (tmp_path / "empty").mkdir()
    gguf(tmp_path / "two/a.gguf")
    gguf(tmp_path / "two/b.gguf")
    assert "the file must be GGUF, found something else" in errors("x.bin", tmp_path)
    assert "found neither. Name another folder." in errors("empty", tmp_path)
    assert "found several models (a.gguf, b.gguf). Name one" in errors("two", tmp_path)
    assert "no such file or folder. Check the path" in errors("gone.gguf", tmp_path)
    assert "rempart models pull o/n:Q4_0" in errors("o/n:Q4_0", tmp_path)


def test_hub_names_have_one_slash() -> None:
    assert is_hub_name("org/name")
    assert is_hub_name("org/name:Q4_K_M")
    for text in ("name", "./org/name", "/org/name", "a/b/c", "org/", "org/name:"):
        assert not is_hub_name(text)


def test_serving_a_configured_name_loads_that_model_first(tmp_path: Path) -> None:
    a, b = Model(name="a", source="demo"), Model(name="b", source="demo")
    settings = Settings(models=[a, b], data_dir=str(tmp_path))
    assert serve_first(settings, "b", tmp_path).models == [replace(b, preload=True), a]


def test_a_derived_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    gguf(tmp_path / "a-q4_0.gguf")
    settings = Settings(models=[Model(name="a", source="demo")], data_dir=str(tmp_path))
    with pytest.raises(SettingsError, match="rempart serve a"):
        serve_first(settings, "a-q4_0.gguf", tmp_path)


def test_files_that_are_not_there_are_told_and_hub_names_left_to_kinds_that_fetch(
    tmp_path: Path,
) -> None:
    here = str(gguf(tmp_path / "x.gguf"))
    models = [
        Model(name="ok", source=here, loras=[here], draft=here, chat_template=here),
        Model(name="demo", source="demo"),
        Model(name="v", kind="vllm", source="org/name"),
        Model(name="t", kind="transformers", source="./gone"),
        Model(name="hub", source="org/name:Q4_0"),
        Model(name="bad", source=here, loras=["/l"], draft="/d", chat_template="/t"),
    ]
    found = {problem.path: problem.text for problem in missing_files(Settings(models=models))}
    assert set(found) == {
        ("models", 3, "source"),
        ("models", 4, "source"),
        ("models", 5, "draft"),
        ("models", 5, "chat_template"),
        ("models", 5, "loras", 0),
    }
    assert "rempart models pull org/name:Q4_0" in found[("models", 4, "source")]
