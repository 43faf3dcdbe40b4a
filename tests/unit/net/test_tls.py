"""The server's certificate: what is refused and how it is told, and that a renewed one is taken."""

import asyncio
import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.http1_serving import serving
from lab.new_certificates import Pair, new_pair
from rempart.net.http1.server import Reply, Request
from rempart.net.tls import Certificate, CertificateError, CertificateFiles

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def files(pair: Pair) -> CertificateFiles:
    return CertificateFiles(pair.cert, pair.key)


def refusal(pair: CertificateFiles) -> str:
    with pytest.raises(CertificateError) as caught:
        pair.load()
    return str(caught.value)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLSocket, bytes]:
    """Both ends in one thread, over memory; the client's side and the certificate that it saw."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    other = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(6):
        for side in (one, other):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    assert done == {one, other}
    return one, one.getpeercert(binary_form=True) or b""  # type: ignore[return-value]


def test_a_good_pair_speaks_only_what_is_safe(tmp_path: Path) -> None:
    pair = new_pair(tmp_path)
    context = files(pair).load()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    for cipher in context.get_ciphers():
        assert cipher["aead"], cipher["name"]
        assert cipher["kea"] in ("kx-ecdhe", "kx-any"), cipher["name"]
    client = pair.client()
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert handshake(context, client)[0].selected_alpn_protocol() == "http/1.1"


def test_older_versions_get_no_handshake(tmp_path: Path) -> None:
    pair = new_pair(tmp_path)
    client = pair.client()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)version|protocol"):
        handshake(files(pair).load(), client)


def test_ciphers_without_forward_secrecy_get_no_handshake(tmp_path: Path) -> None:
    pair = new_pair(tmp_path)
    client = pair.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA")
    with pytest.raises(ssl.SSLError, match=r"(?i)cipher|handshake"):
        handshake(files(pair).load(), client)


def test_every_mistake_names_its_setting_and_the_remedy(tmp_path: Path) -> None:
    good, other = new_pair(tmp_path), new_pair(tmp_path, "other")
    locked = new_pair(tmp_path, "locked", passphrase=b"x")
    empty = tmp_path / "empty"
    empty.touch()
    broken = tmp_path / "broken.pem"
    broken.write_bytes(good.cert.read_bytes().replace(b"MII", b"MIJ", 1))
    for pair, begins, says in [
        (CertificateFiles(tmp_path / "none", good.key), "tls.cert", "No such file"),
        (CertificateFiles(good.cert, tmp_path / "none"), "tls.key", "No such file"),
        (CertificateFiles(good.cert, tmp_path), "tls.key", "Is a directory"),
        (CertificateFiles(empty, good.key), "tls.cert", "has none"),
        (CertificateFiles(good.key, good.key), "tls.cert", "has none"),
        (CertificateFiles(good.cert, good.cert), "tls.key", "has none"),
        (CertificateFiles(good.cert, other.key), "tls.key", "another one"),
        (CertificateFiles(good.cert, locked.key), "tls.key", "passphrase"),
        (CertificateFiles(broken, good.key), "tls.cert", "refuses"),
    ]:
        text = refusal(pair)
        assert text.startswith(begins), text
        assert says in text, text
        assert "PRIVATE KEY--" not in text


def test_a_renewed_pair_is_taken_after_two_equal_looks(tmp_path: Path) -> None:
    old = new_pair(tmp_path)
    used, trusts_old = Certificate(files(old)), old.client()
    assert used.look() is False
    assert handshake(used.context, trusts_old)[1] == old.der
    new = new_pair(tmp_path)
    assert used.look() is False  # it may be half written
    assert handshake(used.context, trusts_old)[1] == old.der
    assert used.look() is True
    assert handshake(used.context, new.client())[1] == new.der
    assert used.look() is False


def test_a_link_set_anew_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes and certbot renew: the name stays, and is a link to other files."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    new_pair(tmp_path / "a")
    new = new_pair(tmp_path / "b")
    link = tmp_path / "live"
    link.symlink_to("a")
    used = Certificate(CertificateFiles(link / "server.pem", link / "server.key"))
    (tmp_path / "next").symlink_to("b")
    (tmp_path / "next").rename(link)
    assert [used.look(), used.look()] == [False, True]
    assert handshake(used.context, new.client())[1] == new.der


def test_a_broken_pair_keeps_the_old_one_and_is_told_once(tmp_path: Path) -> None:
    old = new_pair(tmp_path)
    kept = old.cert.read_bytes(), old.key.read_bytes()
    trusted = old.client()
    used = Certificate(files(old))
    old.key.write_bytes(new_pair(tmp_path, "other").key.read_bytes())
    assert used.look() is False
    with pytest.raises(CertificateError, match="another one"):
        used.look()
    assert [used.look(), used.look()] == [False, False]
    assert handshake(used.context, trusted)[1] == old.der
    old.key.unlink()
    with pytest.raises(CertificateError, match="No such file"):
        used.look()
    assert used.look() is False
    assert handshake(used.context, trusted)[1] == old.der
    old.cert.write_bytes(kept[0])
    old.key.write_bytes(kept[1])
    assert [used.look(), used.look()] == [False, True]


def test_a_change_that_is_taken_back_is_none(tmp_path: Path) -> None:
    pair = new_pair(tmp_path)
    used = Certificate(files(pair))
    away = tmp_path / "away"
    pair.key.rename(away)
    with pytest.raises(CertificateError):
        used.look()
    away.rename(pair.key)
    os.utime(pair.key, ns=(pair.key.stat().st_atime_ns, pair.key.stat().st_mtime_ns))
    assert True in [used.look(), used.look(), used.look()]  # the inode's own time is another
    assert used.look() is False


def test_an_open_connection_outlives_the_change(run: Callable, tmp_path: Path) -> None:
    """On both loops: the old connection goes on, the next handshake sees the new certificate."""

    async def hello(request: Request, reply: Reply) -> None:
        reply.send(200, [], b"hello")

    async def main() -> None:
        old = new_pair(tmp_path)
        trusts_old = old.client()
        used = Certificate(files(old))
        async with serving(hello, tls=used.context) as served:
            reader, writer = await asyncio.open_connection("localhost", served.port, ssl=trusts_old)
            writer.write(GET)
            await reader.readuntil(b"hello")
            new = new_pair(tmp_path)
            assert [used.look(), used.look()] == [False, True]
            writer.write(GET)
            await reader.readuntil(b"hello")
            later_reader, later = await asyncio.open_connection(
                "localhost", served.port, ssl=new.client()
            )
            seen = later.get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert seen == new.der
            later.write(GET)
            await later_reader.readuntil(b"hello")
            for one in (writer, later):
                one.close()
                await one.wait_closed()

    run(main())
