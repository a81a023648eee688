"""The dashboard's addresses, a module a page family."""

from django.urls import path

from webui.views import (
    audit,
    builds,
    executions,
    overview,
    playground,
    system,
    templates,
    tokens,
    users,
)
from webui.views import versions as version_views

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("overview/state", overview.state, name="overview_state"),
    path("overview/activity", overview.activity, name="overview_activity"),
    path("health", overview.rail_health, name="rail_health"),
    path("templates", templates.index, name="templates"),
    path("templates/<slug:name>", templates.detail, name="template"),
    path("templates/<slug:name>/promote", templates.promote, name="promote"),
    path("templates/<slug:name>/rollback", templates.roll_back, name="roll_back"),
    path("templates/<slug:name>/pin", templates.pin, name="pin"),
    path("templates/<slug:name>/unpin", templates.unpin, name="unpin"),
    path("templates/<slug:name>/builds", builds.request_build, name="request_build"),
    path("templates/<slug:name>/versions/<int:number>", version_views.detail, name="version"),
    path("templates/<slug:name>/versions/<int:number>/verify", version_views.verify, name="verify"),
    path(
        "templates/<slug:name>/versions/<int:number>/verification",
        version_views.verification_progress,
        name="verification",
    ),
    path(
        "templates/<slug:name>/compare/<int:old>/<int:new>", version_views.compare, name="compare"
    ),
    path("builds/<uuid:build_id>", builds.detail, name="build"),
    path("builds/<uuid:build_id>/steps", builds.steps, name="build_steps"),
    path("builds/<uuid:build_id>/events", builds.events, name="build_events"),
    path("builds/<uuid:build_id>/log", builds.log, name="build_log"),
    path("builds/<uuid:build_id>/cancel", builds.cancel, name="cancel_build"),
    path("executions", executions.index, name="executions"),
    path("executions/<uuid:execution_id>", executions.detail, name="execution"),
    path("executions/<uuid:execution_id>/json", executions.as_json, name="execution_json"),
    path("executions/<uuid:execution_id>/cancel", executions.cancel, name="cancel_execution"),
    path("executions/<uuid:execution_id>/rerun", executions.rerun, name="rerun_execution"),
    path("playground", playground.playground, name="playground"),
    path("playground/run", playground.run, name="playground_run"),
    path("audit", audit.index, name="audit"),
    path("audit/verify", audit.verify, name="audit_verify"),
    path("audit/export", audit.export, name="audit_export"),
    path("tokens", tokens.index, name="tokens"),
    path("tokens/<uuid:token_id>", tokens.detail, name="token"),
    path("tokens/<uuid:token_id>/pins", tokens.pin, name="pin_token"),
    path("tokens/<uuid:token_id>/rotate", tokens.rotate, name="rotate_token"),
    path("tokens/<uuid:token_id>/end-grace", tokens.end_grace, name="token_end_grace"),
    path("tokens/<uuid:token_id>/revoke", tokens.revoke, name="revoke_token"),
    path("users", users.index, name="users"),
    path("users/<int:user_id>", users.detail, name="user"),
    path("users/<int:user_id>/link", users.link, name="user_link"),
    path("users/<int:user_id>/role", users.change_role, name="change_role"),
    path("users/<int:user_id>/deactivate", users.deactivate, name="deactivate_user"),
    path("users/<int:user_id>/activate", users.activate, name="activate_user"),
    path("users/<int:user_id>/factor", users.reset_second_factor, name="reset_factor"),
    path("system", system.system, name="system"),
]
