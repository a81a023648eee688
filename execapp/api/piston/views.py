"""The calls of Piston's interface: `runtimes`, `packages` and `execute`."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from core.engine import hub
from execapp.api import languages
from execapp.api.http import auth, deferred, error_replies, json_parser
from execapp.api.http.responses import reply
from execapp.api.piston import jobs, stages
from execapp.conf import sizes
from execapp.errors import (
    BusyError,
    InvalidRequestError,
    MediaTypeError,
    RateLimitedError,
    UnauthorizedError,
    UnknownTokenError,
)
from execapp.models import ApiToken, Execution, Scope
from execapp.services import submissions, tokens

AUTHORIZATION_MISSING = (
    "Authorization is required: send the header Authorization with a token of this server. "
    "Its operator can allow requests without a token by STENCIL_PISTON_ANONYMOUS."
)


def runtimes(request: HttpRequest) -> HttpResponse:
    """List the languages: templates whose current version is healthy."""
    _token(request, Scope.READ)
    found = []
    for language in languages.current():
        shown = {
            "language": language.name,
            "version": language.version,
            "aliases": list(language.aliases),
        }
        found.append(shown | ({"runtime": language.runtime} if language.runtime else {}))
    return reply(found)


def packages(request: HttpRequest) -> HttpResponse:
    """List the same as Piston's packages, all of them installed."""
    _token(request, Scope.READ)
    return reply(
        [
            {"language": each.name, "language_version": each.version, "installed": True}
            for each in languages.current()
        ]
    )


def execute(request: HttpRequest) -> HttpResponse:
    """Run a program and return its run stage when it has ended."""
    token = _token(request, Scope.EXECUTE)
    if request.content_type not in _media_types(request):
        message = "requests must be of type application/json"
        raise MediaTypeError(message)
    job = jobs.read(json_parser.loads(request.body), token)
    seconds = job.request.limits["wall_ms"] / 1000 + sizes().max_wait_seconds
    permit = deferred.acquire_wait(str(token.id), seconds)
    if isinstance(permit, str):
        # Piston has no call that reads a result later, so nothing is started without a wait.
        error = RateLimitedError("Too many requests wait for their results already: try again.")
        error.retry_after = deferred.RETRY_SECONDS
        raise error
    try:
        execution, created = submissions.submit(
            job.request, waiting=True, waits=hub.of(request.META)
        )
    except InvalidRequestError as error:
        raise jobs.translated(error) from error

    def shown(execution: Execution) -> HttpResponse:
        if not execution.finished:
            return _unfinished(execution)
        language = job.language
        run = stages.present(execution)
        return reply({"language": language.name, "version": language.version, "run": run})

    return deferred.answer(request, execution, seconds, shown, begun=created, permit=permit)


def _media_types(request: HttpRequest) -> tuple[str, ...]:
    """Return the accepted types. The npm package piston-client can send neither token nor type."""
    anonymous = "Authorization" not in request.headers
    return ("application/json", "text/plain") if anonymous else ("application/json",)


def _unfinished(execution: Execution) -> HttpResponse:
    """Cancel what nobody waits for any longer: the client cannot ask for it again."""
    submissions.cancel(execution_id=execution.id, actor="the Piston door")
    message = "The server is too busy: the program did not end in time. Try again later."
    error = BusyError(message)
    error.retry_after = deferred.RETRY_SECONDS
    return error_replies.handle(error)


def _token(request: HttpRequest, scope: Scope) -> ApiToken:
    """Return the token of the request; without one, the token of STENCIL_PISTON_ANONYMOUS.

    The header has the token alone, as Piston's clients send it, or after "Bearer".
    """
    given = request.headers.get("Authorization", "").strip()
    scheme, _, rest = given.partition(" ")
    secret = rest.strip() if scheme.lower() == "bearer" else given
    if not given and settings.STENCIL_PISTON_ANONYMOUS:
        return auth.admit(request, _anonymous(), scope)
    found = auth.Bearer(scope).authenticate(request, secret) if secret else None
    if found is None:
        raise UnauthorizedError("The token is not valid." if given else AUTHORIZATION_MISSING)
    return found


def _anonymous() -> ApiToken:
    try:
        token = tokens.by_prefix(prefix=settings.STENCIL_PISTON_ANONYMOUS)
    except UnknownTokenError:
        raise UnauthorizedError(AUTHORIZATION_MISSING) from None
    if token.allows(Scope.TEMPLATES):  # also with `admin`: never for people without a token
        raise UnauthorizedError(AUTHORIZATION_MISSING)
    return token
