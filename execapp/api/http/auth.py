"""Authentication by token, and authorization by scope."""

from django.http import HttpRequest
from ninja.security import HttpBearer

from execapp.api.http import rate_limit
from execapp.errors import ForbiddenError, RateLimitedError
from execapp.models import ApiToken, Scope
from execapp.services import tokens


class Bearer(HttpBearer):
    """`Authorization: Bearer <token>` with a scope; `None` asks for any valid token."""

    def __init__(self, scope: Scope | None = None) -> None:
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken | None:
        """Return the token, or None (401). Raises ForbiddenError, RateLimitedError."""
        found = tokens.authenticate(secret=token.strip())
        return None if found is None else admit(request, found, self.scope)


def admit(request: HttpRequest, token: ApiToken, scope: Scope | None) -> ApiToken:
    """Count the request of a known token. Raises ForbiddenError without the scope."""
    count(request, token)
    if scope is not None and not token.allows(scope):
        message = f"This token does not carry the scope {scope.value!r}."
        raise ForbiddenError(message, details={"scope": scope.value})
    return token


def count(request: HttpRequest, token: ApiToken) -> None:
    """Count a request; `views.one_shape` adds the rest of the limit to the reply.

    A batch counts each of its submissions. Raises RateLimitedError.
    """
    standing = rate_limit.take(token)
    if standing is None:
        return
    vars(request)["standing"] = standing
    if standing.retry_seconds:
        message = f"At most {standing.limit} requests a minute are served: send fewer, or wait."
        error = RateLimitedError(message, details={"limit": standing.limit})
        error.retry_after = standing.retry_seconds
        raise error


any_token = Bearer()
execute = Bearer(Scope.EXECUTE)
read = Bearer(Scope.READ)
change_templates = Bearer(Scope.TEMPLATES)
administer = Bearer(Scope.ADMIN)


def require_scope(token: ApiToken, scope: Scope, what: str) -> None:
    """Raise ForbiddenError unless the token has the scope that this one request needs."""
    if not token.allows(scope):
        message = f"{what} needs a token with the scope {scope.value!r}."
        raise ForbiddenError(message, details={"scope": scope.value})
