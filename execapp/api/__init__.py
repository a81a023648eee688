"""The HTTP API. `api` is the NinjaAPI behind /api/v1."""

from ninja import NinjaAPI
from ninja.operation import Operation

from execapp.api import builds, changes, errors, executions, keeping, me, templates
from execapp.api.parsing import StrictParser

__all__ = ["api"]


class Api(NinjaAPI):
    """NinjaAPI with short names of operations, which generated clients take over."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """`builds_log` for the view `log` of the module `builds`."""
        view = operation.view_func
        return f"{view.__module__.rpartition('.')[2]}_{view.__name__}"


api = Api(
    title="Stencil",
    version="1",
    urls_namespace="api-v1",
    description="Runs other people's code in environments that are ready before the code arrives.",
    parser=StrictParser(),
)
errors.install(api)
api.add_router("/executions", executions.router)
api.add_router("/templates", templates.router)
api.add_router("/templates", changes.router)
api.add_router("/templates", keeping.router)
api.add_router("/templates", builds.of_template)
api.add_router("/builds", builds.router)
api.add_router("/me", me.router)
