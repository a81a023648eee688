"""Who calls, and whether they may."""

from django.http import HttpRequest
from ninja.security import HttpBearer

from execapp.errors import ForbiddenError
from execapp.models import ApiToken, Scope
from execapp.services import tokens


class Bearer(HttpBearer):
    """`Authorization: Bearer <token>` with a scope; `None` asks for any valid token."""

    def __init__(self, scope: Scope | None = None) -> None:
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken | None:  # noqa: ARG002 - ninja's signature
        """The token, None (401), or `ForbiddenError` when it lacks the scope."""
        found = tokens.authenticate(secret=token.strip())
        if found is None:
            return None
        if self.scope is not None and not found.allows(self.scope):
            message = f"This token does not carry the scope {self.scope.value!r}."
            raise ForbiddenError(message, details={"scope": self.scope.value})
        return found


any_token = Bearer()
execute = Bearer(Scope.EXECUTE)
read = Bearer(Scope.READ)
change_templates = Bearer(Scope.TEMPLATES)
administer = Bearer(Scope.ADMIN)


def demand(token: ApiToken, scope: Scope, what: str) -> None:
    """Refuse what only some requests of a call need. Raises ForbiddenError."""
    if not token.allows(scope):
        message = f"{what} needs a token with the scope {scope.value!r}."
        raise ForbiddenError(message, details={"scope": scope.value})
