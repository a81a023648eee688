"""The signature of a delivery. Pure."""

import hmac
from collections.abc import Iterable

HEADER = "Stencil-Signature"


def signature(*, secrets: Iterable[str], time: int, body: bytes) -> str:
    """Return the value of the header: the time in seconds since 1970, and a `v1` for each secret.

    A `v1` is the HMAC-SHA256, in hex, of the time, a full stop and the body; its key is the secret
    as ASCII.
    """
    signed = f"{time}.".encode() + body
    digests = [hmac.digest(secret.encode(), signed, "sha256").hex() for secret in secrets]
    return ",".join([f"t={time}", *(f"v1={digest}" for digest in digests)])
