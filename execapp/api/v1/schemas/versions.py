"""Parameters and replies of `/templates/{name}/versions`."""

from datetime import datetime
from typing import Any, Literal

from ninja import Schema
from pydantic import Field

from execapp.api.v1.schemas.common import QueryNumber


class FindingOut(Schema):
    """One defect. "unsafe" versions are not served; "not_provable" ones are, and are repaired."""

    part: Literal["tree", "cache", "manifest", "inputs", "objects"]
    path: str
    problem: str
    detail: str | None
    severity: Literal["unsafe", "not_provable"]


class RetryOut(Schema):
    """The time of the next attempt to heal, and the number of failed attempts."""

    at: datetime
    tries: int


class HealthOut(Schema):
    """The current health of a version."""

    state: Literal["verified", "quarantined", "retired"]
    checked_at: datetime
    checked_by: str
    problems: list[Any] = Field(description="of the tree; `findings` has everything")
    message: str | None = Field(description="the reason why it could not be healed, or was removed")
    severity: Literal["none", "not_provable", "unsafe"]
    findings: list[FindingOut]
    retry: RetryOut | None


class VersionSummaryOut(Schema):
    """A version in a list. `files` is the number of its files."""

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
    """The progress and the results of a verification; totals are 0 until it has started."""

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
    """A version with its packages, smoke results, latest verification, and attempts to heal it."""

    packages: list[dict[str, Any]]
    smoke: list[dict[str, Any]]
    verification: VerificationOut | None
    healing: list[VerificationOut]


class VersionsOut(Schema):
    """A page of versions."""

    items: list[VersionSummaryOut]
    next: str | None


class GateOut(Schema):
    """One condition of a promotion. An essential gate is required under every policy."""

    name: str
    ok: bool
    required: bool
    essential: bool
    detail: str


class GatesOut(Schema):
    """Whether a version can be promoted, with the result of each gate."""

    version: int
    promotable: bool
    gates: list[GateOut]


class RemovedOut(Schema):
    """A removed version, and the freed disk space."""

    version: VersionOut
    freed_bytes: int
    freed_files: int


class InputOut(Schema):
    """An input file of the build of a version."""

    path: str
    size_bytes: int
    executable: bool


class InputsOut(Schema):
    """All input files of the build of a version."""

    version: int
    definition_digest: str
    items: list[InputOut]


class DiffQuery(Schema):
    """The older version of a comparison."""

    against: QueryNumber


class DiffPackagesOut(Schema):
    """Added, removed and changed packages."""

    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    changed: list[dict[str, Any]]


class DiffFilesOut(Schema):
    """The numbers of files, and the first files by path; `left_out` files are not listed."""

    added: int
    removed: int
    changed: int
    items: list[dict[str, Any]]
    left_out: int


class SizesOut(Schema):
    """The sizes of both versions in bytes."""

    before: int
    after: int


class DiffOut(Schema):
    """The differences from `before` to `after`."""

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
