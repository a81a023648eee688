"""Templates, the jobs on them, the results of the jobs, and the audit trail.

Django finds the models of an app here; import them from here.
"""

from templatemgr.models.audit_events import (
    AuditEvent,
)
from templatemgr.models.jobs import (
    ACTIVE_STATES,
    FINAL_STATES,
    OPEN_VERIFICATIONS,
    Build,
    BuildKind,
    BuildLogLine,
    BuildState,
    Lookup,
    LookupState,
    Verification,
    VerificationState,
)
from templatemgr.models.templates import (
    HealthState,
    Promotion,
    PromotionKind,
    Severity,
    Template,
    Version,
    VersionHealth,
    unsafe_rows,
)

__all__ = [
    "ACTIVE_STATES",
    "FINAL_STATES",
    "OPEN_VERIFICATIONS",
    "AuditEvent",
    "Build",
    "BuildKind",
    "BuildLogLine",
    "BuildState",
    "HealthState",
    "Lookup",
    "LookupState",
    "Promotion",
    "PromotionKind",
    "Severity",
    "Template",
    "Verification",
    "VerificationState",
    "Version",
    "VersionHealth",
    "unsafe_rows",
]
