"""Access tokens of a configured issuer (RFC 9068), beside keys. Pure: token, keys and moment in, principal out.

What RFC 8725 asks: the algorithms come from the settings, never from the token, and none of them has a shared
secret; a token is what its type says, so that an ID token opens nothing; issuer and audience are compared whole.
Scopes are the issuer's, mapped to ours; one that is none of ours counts for nothing.
"""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from rempart.domain.errors import ExpiredApiKey, InvalidApiKey
from rempart.domain.keys import ALL_SCOPES, Principal
from rempart.settings.protection import Jwt as JwtSettings

TOKEN_BYTES_MAX = 8192
SUBJECT_CHARACTERS_MAX = 256
KEYS_MAX = 64
RSA_BITS_MIN = 2048
"""NIST SP 800-131A; what is shorter is passed over like a key that cannot be read."""
TYPES = frozenset({"at+jwt", "application/at+jwt"})
KINDS: dict[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {
    "RSA": RSAKey,
    "EC": ECKey,
    "OKP": OKPKey,
}
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class TokenRules(NamedTuple):
    """What a token must be."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    scopes: Mapping[str, str]
    leeway_s: float


def rules_of(settings: JwtSettings) -> TokenRules:
    """The settings' rules."""
    return TokenRules(
        issuer=settings.issuer,
        audience=settings.audience,
        algorithms=frozenset(settings.algorithms),
        scopes=settings.scopes,
        leeway_s=settings.leeway_s,
    )


class TokenKeys:
    """The issuer's public keys, by their ids.

    Args:
        document: a JWK set (RFC 7517). Keys of other kinds, for other uses, too short or malformed are passed over.

    Raises:
        ValueError: it is no JWK set.
    """

    def __init__(self, document: Any) -> None:
        keys = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(keys, list):
            raise ValueError("it has no list of keys")
        self._keys: dict[str, Key] = {}
        for number, one in enumerate(keys[:KEYS_MAX]):
            key = _public_key(one)
            if key is not None:
                name = one.get("kid")
                self._keys.setdefault(name if isinstance(name, str) else f"#{number}", key)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str | None) -> Key | None:
        """The key that a token names; one that names none has the only key there is."""
        if kid is not None:
            return self._keys.get(kid)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None


def _public_key(one: Any) -> Key | None:
    if not isinstance(one, dict) or one.get("use", "sig") != "sig" or "d" in one:
        return None
    kind = KINDS.get(str(one.get("kty")))
    if kind is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            key = kind.import_key(one)
            if isinstance(key, RSAKey) and key.raw_value.key_size < RSA_BITS_MIN:
                return None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key


def header_of(token: str, rules: TokenRules) -> dict[str, Any]:
    """The header of a token in the right form, before anything is known of its signature.

    Raises:
        InvalidApiKey: it is too long, no access token, or signed in another way than the settings allow.
    """
    if len(token) > TOKEN_BYTES_MAX or not token.isascii():
        raise InvalidApiKey
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError) as error:
        raise InvalidApiKey from error
    kind = header.get("typ")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise InvalidApiKey
    if header.get("alg") not in rules.algorithms:
        raise InvalidApiKey
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise InvalidApiKey
    return header


def principal_of(token: str, key: Key, rules: TokenRules, now_s: float) -> Principal:
    """Whom a token of this key's issuer stands for.

    Raises:
        InvalidApiKey: signature or claims are wrong.
        ExpiredApiKey: it was good until a moment that has passed.
    """
    try:
        with warnings.catch_warnings():
            # EdDSA is deprecated as a name (RFC 9864), not as a signature; issuers still write it.
            warnings.simplefilter("ignore", SecurityWarning)
            signed = jws.deserialize_compact(token, key, algorithms=list(rules.algorithms))
        claims = _decode(signed.payload)
    except (JoseError, ValueError, TypeError) as error:
        raise InvalidApiKey from error
    return _principal(claims, rules, now_s)


def _principal(claims: dict[str, Any], rules: TokenRules, now_s: float) -> Principal:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != rules.issuer or rules.audience not in audiences:
        raise InvalidApiKey
    subject = claims.get("sub")
    if not _is_name(subject) or not _is_name(claims.get("client_id")):
        raise InvalidApiKey
    expires_s = _moment(claims, "exp")
    if expires_s is None:
        raise InvalidApiKey
    for name in ("nbf", "iat"):
        begins_s = _moment(claims, name)
        if begins_s is not None and begins_s > now_s + rules.leeway_s:
            raise InvalidApiKey
    until_s = expires_s + rules.leeway_s
    if until_s <= now_s:
        raise ExpiredApiKey
    return Principal(id=f"jwt:{subject}", scopes=_scopes(claims, rules), expires_s=until_s)


def _is_name(value: Any) -> bool:
    return (
        isinstance(value, str) and 0 < len(value) <= SUBJECT_CHARACTERS_MAX and value.isprintable()
    )


def _moment(claims: dict[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519); None where there is none."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 2**53:
        raise InvalidApiKey
    return float(value)


def _scopes(claims: dict[str, Any], rules: TokenRules) -> frozenset[str]:
    text = claims.get("scope", "")
    if not isinstance(text, str):
        raise InvalidApiKey
    named = text.split(" ")
    found = (rules.scopes.get(name, "") if rules.scopes else name for name in named)
    return ALL_SCOPES & frozenset(found)
