"""The guard's words: what kinds of text its detectors look for, and what a finding is.

A finding never holds the text it found, only where it stands: findings go into records, errors and logs.
"""

from typing import NamedTuple

SECRETS = "secrets"
PERSONAL_DATA = "personal_data"

SECRET_KINDS = (
    "rempart_key",
    "github_token",
    "npm_token",
    "gitlab_token",
    "aws_key_id",
    "openai_key",
    "anthropic_key",
    "google_key",
    "huggingface_token",
    "slack_token",
    "stripe_key",
    "jwt",
    "private_key",
)
PERSONAL_KINDS = ("iban", "card", "nir", "siret", "email", "phone")

DETECTOR_OF = dict.fromkeys(SECRET_KINDS, SECRETS) | dict.fromkeys(PERSONAL_KINDS, PERSONAL_DATA)
"""The detector that finds a kind."""


class Finding(NamedTuple):
    """Where one stands in a text: characters from ``start``, up to but not with ``end``."""

    start: int
    end: int
    kind: str


def mask_of(kind: str) -> str:
    """What stands in a text for what was found: ``[IBAN]``; safe inside JSON, and never a finding itself."""
    return f"[{kind.upper()}]"
