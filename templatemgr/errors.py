"""Errors of this app: one base class; each has a stable code and its message as docstring."""

LONGEST_PATH = 600  # characters; a name in a definition has at most 512 bytes
LONGEST_KEY = 200
LONGEST_TEXT = 1000


def shown(text: str, most: int) -> str:
    """Return a foreign text with escaped control characters and at most `most` characters.

    A longer text loses its middle, because an explanation follows a quoted value.
    """
    if len(text) > most:
        text = _cut(text, most)
    if not text.isprintable():
        text = "".join(each if each.isprintable() else _escaped(each) for each in text)
    return text if len(text) <= most else _cut(text, most)


def _cut(text: str, most: int) -> str:
    head = most // 2
    return f"{text[:head]}…{text[len(text) - (most - head - 1) :]}"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class TemplateError(Exception):
    """An operation on a template failed."""

    code = "template_error"

    def __init__(self, message: str = "", **details: object) -> None:
        """Take a message for people (default: the docstring) and `details` for programs."""
        self.message = message or (type(self).__doc__ or "").strip()
        self.details = details
        super().__init__(self.message)


class UnknownTemplateError(TemplateError):
    """There is no template of this name."""

    code = "unknown_template"


class UnknownVersionError(TemplateError):
    """The template has no such version."""

    code = "unknown_version"


class UnknownBuildError(TemplateError):
    """There is no such build."""

    code = "unknown_build"


class NotBuiltError(TemplateError):
    """The template has no current version yet."""

    code = "not_built"


class PinnedError(TemplateError):
    """The template is pinned: unpin it first."""

    code = "pinned"


class GateError(TemplateError):
    """The version does not pass every gate of a promotion."""

    code = "not_ready"


class CurrentChangedError(TemplateError):
    """Another version became current in the meantime."""

    code = "expected_current"


class NothingToRollBackToError(TemplateError):
    """No earlier version is left to roll back to."""

    code = "no_previous"


class UnavailableError(TemplateError):
    """The template has no healthy version to run on."""

    code = "template_unavailable"


class UnknownVerificationError(TemplateError):
    """There is no such verification."""

    code = "unknown_verification"


class NotHealedError(TemplateError):
    """The version could not be healed and stays quarantined."""

    code = "not_healed"


class InvalidPolicyError(TemplateError):
    """The policy names a gate that does not exist."""

    code = "invalid_request"


class ExportError(TemplateError):
    """The inputs could not be exported."""

    code = "not_exported"


class InUseError(TemplateError):
    """The version is needed and cannot be removed."""

    code = "in_use"


class InvalidReasonError(TemplateError):
    """A reason is needed: 1 to 500 characters."""

    code = "invalid_request"


class InvalidBuildError(TemplateError):
    """The requested kind of build does not exist in this release."""

    code = "not_supported"


class InvalidOptionsError(InvalidBuildError):
    """The packages or files of a build are wrong."""

    code = "invalid_request"


class DefinitionError(TemplateError):
    """A definition is wrong.

    Texts come from foreign files: control characters are escaped, and long texts lose their middle.
    `details` has file, key and reason. Where they are known, it has `line` (from 1), `excerpt` (the
    text of this line) and `remedy`.
    """

    code = "invalid_definition"

    def __init__(
        self,
        file: str,
        key: str,
        reason: str,
        *,
        line: int | None = None,
        remedy: str = "",
        excerpt: str = "",
    ) -> None:
        file, key = shown(file, LONGEST_PATH), shown(key, LONGEST_KEY)
        reason, remedy = shown(reason, LONGEST_TEXT), shown(remedy, LONGEST_TEXT)
        excerpt = shown(excerpt, LONGEST_TEXT)
        message = f"{file}: {key}: {reason}" if key else f"{file}: {reason}"
        if remedy:
            place = f"{file}, line {line}" if line else file
            what = f"{key}: {reason}" if key else reason
            message = f"{place}: {what}. {remedy}"
        super().__init__(
            message, file=file, line=line, key=key, reason=reason, remedy=remedy, excerpt=excerpt
        )
        self.file, self.key, self.reason = file, key, reason
        self.line, self.remedy, self.excerpt = line, remedy, excerpt

    def with_remedy(self, more: str) -> "DefinitionError":
        """Return the same error with one more sentence in its remedy."""
        return DefinitionError(
            self.file,
            self.key,
            self.reason,
            line=self.line,
            remedy=f"{self.remedy} {more}".strip(),
            excerpt=self.excerpt,
        )


class BuildError(TemplateError):
    """A step of a build failed. `details` has `step`, and `remedy` where one is known."""

    code = "build_failed"

    def __init__(self, message: str, *, step: str, remedy: str | None = None) -> None:
        super().__init__(message, step=step, remedy=remedy)
        self.step = step
        self.remedy = remedy


class BuildCancelledError(TemplateError):
    """The build was cancelled."""

    code = "cancelled"


class LeaseLostError(TemplateError):
    """Another process took the build over, or it was marked interrupted."""

    code = "lease_lost"
