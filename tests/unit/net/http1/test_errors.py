"""The family of errors."""

import pytest

from rempart.net.http1 import errors


@pytest.mark.parametrize(
    "error",
    [
        errors.PeerClosed("gone"),
        errors.BodyMalformed("bad chunk"),
        errors.BodyTooLarge(10),
        errors.BodyTooSlow("nothing came"),
        errors.ConnectFailed("refused"),
        errors.UpstreamClosed("closed"),
        errors.UpstreamMalformed("no HTTP"),
        errors.UpstreamTooLarge("too long"),
        errors.UpstreamTooSlow("too late"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_each_can_be_caught_as_one_and_says_why(error: errors.HttpError) -> None:
    assert isinstance(error, errors.HttpError)
    assert str(error)


def test_a_malformed_body_is_a_closed_peer_to_who_does_not_know_better() -> None:
    assert issubclass(errors.BodyMalformed, errors.PeerClosed)
