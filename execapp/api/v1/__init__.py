"""The HTTP API. `api` is the NinjaAPI behind /api/v1."""

from typing import Any

from ninja import NinjaAPI
from ninja.errors import ValidationError, ValidationErrorContext
from ninja.operation import Operation

from execapp.api.http import error_replies
from execapp.api.http.json_parser import StrictParser
from execapp.api.v1 import (
    batches,
    builds,
    deliveries,
    executions,
    integrity,
    me,
    promotions,
    templates,
    usage,
)

__all__ = ["api"]


class Api(NinjaAPI):
    """NinjaAPI with short operation ids, which generated clients use as names."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """Return the operation id: `builds_log` for the view `log` of the module `builds`."""
        view = operation.view_func
        return f"{view.__module__.rpartition('.')[2]}_{view.__name__}"

    def validation_error_from_error_contexts(
        self, error_contexts: list[ValidationErrorContext[Any]]
    ) -> ValidationError:
        """Return the error as ninja does, but without the rejected input values."""
        found: list[dict[str, Any]] = []
        for context in error_contexts:
            model = context.model
            for error in context.pydantic_validation_error.errors(
                include_url=False, include_input=False, include_context=False
            ):
                place = model.__ninja_flatten_map_reverse__.get(error["loc"], error["loc"])
                where = (model.__ninja_param_source__, *place)
                found.append({"type": error["type"], "loc": where, "msg": error["msg"]})
        return ValidationError(found)


api = Api(
    title="Stencil",
    version="1",
    urls_namespace="api-v1",
    description="Runs other people's code in environments that are ready before the code arrives.",
    parser=StrictParser(),
)
error_replies.install(api)
api.add_router("/executions", batches.router)
api.add_router("/executions", executions.router)
api.add_router("/executions", deliveries.of_execution)
api.add_router("/deliveries", deliveries.router)
api.add_router("/templates", templates.router)
api.add_router("/templates", promotions.router)
api.add_router("/templates", integrity.router)
api.add_router("/templates", builds.of_template)
api.add_router("/builds", builds.router)
api.add_router("/me", me.router)
api.add_router("/usage", usage.router)
api.add_router("/me/callback-secret", deliveries.of_token)
