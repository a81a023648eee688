"""Parameters and answers of `/templates/{name}/versions`."""

from datetime import datetime
from typing import Any, Literal

from ninja import Schema
from pydantic import Field

from execapp.api.v1.schemas.common import QueryNumber


class FindingOut(Schema):
    """One thing that is wrong; "unsafe" is not served, "not_provable" is, and mended beside it."""

    part: Literal["tree", "cache", "manifest", "inputs", "objects"]
    path: str
    problem: str
    detail: str | None
    severity: Literal["unsafe", "not_provable"]


class RetryOut(Schema):
    """When healing is tried next, and how often it was in vain so far."""

    at: datetime
    tries: int


class HealthOut(Schema):
    """What is known of a version now."""

    state: Literal["verified", "quarantined", "retired"]
    checked_at: datetime
    checked_by: str
    problems: list[Any] = Field(description="of the tree; `findings` has everything")
    message: str | None = Field(description="why it could not be healed, or was removed")
    severity: Literal["none", "not_provable", "unsafe"]
    findings: list[FindingOut]
    retry: RetryOut | None


class VersionSummaryOut(Schema):
    """A version as a list shows it; `files` is how many."""

    version: int
    state: Literal["current", "ready", "removed"]
    health: HealthOut
    digest: str
    tree_digest: str
    definition_digest: str
    platform: str
    toolchain: str
    size_bytes: int
    own_bytes: int
    files: int
    created_at: datetime
    created_by: str
    build: str


class VerificationOut(Schema):
    """How far a verification is and what it found; totals are 0 until it has started."""

    id: str
    state: Literal["queued", "running", "verified", "healed", "quarantined", "failed"]
    heal: bool
    requested_by: str
    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    problems: int
    message: str | None
    build: str | None = Field(description="the rebuild that is to heal it")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class VersionOut(VersionSummaryOut):
    """A version with its packages, smoke results, latest verification, and tries to heal it."""

    packages: list[dict[str, Any]]
    smoke: list[dict[str, Any]]
    verification: VerificationOut | None
    healing: list[VerificationOut]


class VersionsOut(Schema):
    """A page of versions."""

    items: list[VersionSummaryOut]
    next: str | None


class GateOut(Schema):
    """One condition of a promotion; an essential one is required whatever the policy says."""

    name: str
    ok: bool
    required: bool
    essential: bool
    detail: str


class GatesOut(Schema):
    """Whether a version can be promoted now, gate by gate."""

    version: int
    promotable: bool
    gates: list[GateOut]


class RemovedOut(Schema):
    """What the disk got back."""

    version: VersionOut
    freed_bytes: int
    freed_files: int


class InputOut(Schema):
    """A file that a version was built from."""

    path: str
    size_bytes: int
    executable: bool


class InputsOut(Schema):
    """Every file that a version was built from."""

    version: int
    definition_digest: str
    items: list[InputOut]


class DiffQuery(Schema):
    """What a version is compared with: the older side."""

    against: QueryNumber


class DiffPackagesOut(Schema):
    """Packages by what became of them."""

    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    changed: list[dict[str, Any]]


class DiffFilesOut(Schema):
    """How many files, and the first of them by path; `left_out` of them are not listed."""

    added: int
    removed: int
    changed: int
    items: list[dict[str, Any]]
    left_out: int


class SizesOut(Schema):
    """Bytes of both sides."""

    before: int
    after: int


class DiffOut(Schema):
    """What moved from `before` to `after`."""

    before: str
    after: str
    packages: DiffPackagesOut
    programs: list[dict[str, Any]]
    install_scripts: list[dict[str, Any]]
    licences: list[dict[str, Any]]
    origins: list[dict[str, Any]]
    deprecations: list[dict[str, Any]]
    files: DiffFilesOut
    size_bytes: SizesOut
    configuration: list[dict[str, Any]]
    configuration_left_out: int
