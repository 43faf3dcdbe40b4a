"""Servers that are not ours: addresses as replicas."""

from pathlib import Path

import pytest

from lab.runner_places import place
from rempart.runners.kinds.interface import LaunchError
from rempart.runners.kinds.upstream import Upstream
from rempart.settings.model import Model


@pytest.mark.parametrize(
    ("base_url", "url", "base_path"),
    [
        ("http://127.0.0.1:9000/v1", "http://127.0.0.1:9000", "/v1"),
        ("http://127.0.0.1:9000/v1/", "http://127.0.0.1:9000", "/v1"),
        ("https://far.example/openai/v1", "https://far.example", "/openai/v1"),
        ("https://far.example", "https://far.example", ""),
        ("http://[::1]:9000/v1", "http://[::1]:9000", "/v1"),
    ],
)
def test_an_address_is_cut_into_url_and_path(
    base_url: str, url: str, base_path: str, tmp_path: Path
) -> None:
    model = Model(name="far", kind="upstream", base_urls=[base_url], api_key="k3y")
    (replica,) = Upstream().launch(model, place(tmp_path)).replicas
    assert (replica.url, replica.base_path, replica.api_key) == (url, base_path, "k3y")
    assert replica.upstream_name == "far"


def test_each_address_is_a_replica_of_its_own_and_nothing_is_started(tmp_path: Path) -> None:
    urls = ["http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1"]
    launch = Upstream().launch(Model(name="far", kind="upstream", base_urls=urls), place(tmp_path))
    assert launch.command == ()
    assert len({replica.id for replica in launch.replicas}) == 2


def test_without_an_address_there_is_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="base_urls"):
        Upstream().launch(Model(name="far", kind="upstream"), place(tmp_path))
