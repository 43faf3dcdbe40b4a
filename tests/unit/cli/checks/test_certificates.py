"""What doctor says about the server's certificate."""

from dataclasses import replace
from pathlib import Path

from lab.new_certificates import Pair, new_pair
from rempart.cli.checks.certificates import certificate
from rempart.settings.model import Server, Settings
from rempart.settings.protection import Tls


def levels(pair: Pair) -> list[str]:
    settings = Settings(tls=Tls(cert=str(pair.cert), key=str(pair.key)))
    return [finding.level for finding in certificate(settings)]


def test_a_good_pair_is_well(tmp_path: Path) -> None:
    assert levels(new_pair(tmp_path)) == ["ok"]


def test_an_end_that_is_near_is_told(tmp_path: Path) -> None:
    assert levels(new_pair(tmp_path, days=13)) == ["warning"]
    assert levels(new_pair(tmp_path, days=-1)) == ["error"]


def test_a_key_that_others_can_read_is_told(tmp_path: Path) -> None:
    pair = new_pair(tmp_path)
    for mode, expected in [
        (0o600, []),
        (0o640, []),
        (0o644, ["warning"]),
        (0o660, ["warning"]),
    ]:
        pair.key.chmod(mode)
        assert levels(pair) == ["ok", *expected], oct(mode)


def test_a_pair_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    pair = new_pair(tmp_path)
    assert levels(replace(pair, key=new_pair(tmp_path, "other").key)) == ["error"]
    assert levels(replace(pair, cert=tmp_path / "none")) == ["error"]


def test_without_tls_only_a_server_on_the_network_is_warned() -> None:
    for host, level in [("127.0.0.1", "ok"), ("::1", "ok"), ("0.0.0.0", "warning")]:
        (finding,) = certificate(Settings(server=Server(host=host)))
        assert finding.level == level
