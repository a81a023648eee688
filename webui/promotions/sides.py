"""Two versions side by side, as the page of a comparison shows them. Pure: rows in, values out."""

from dataclasses import dataclass

from templatemgr.difference import Difference
from templatemgr.models import Version
from webui.promotions.change_review import ChangeReview, review
from webui.promotions.package_changes import compare
from webui.templatetags.stencil import size


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Two versions side by side. `old` is None for a template's first promotion."""

    old: Version | None
    new: Version
    review: ChangeReview

    @property
    def size_word(self) -> str:
        """The size of the new version in words: "5 MB more than"."""
        growth = self.new.size_bytes - (self.old.size_bytes if self.old else 0)
        return (
            f"{size(abs(growth))} {'less' if growth < 0 else 'more'} than"
            if growth
            else "as much as"
        )

    @property
    def files_word(self) -> str:
        """The number of files of the new version in words: "19 more than in"."""
        growth = self.new.file_count - (self.old.file_count if self.old else 0)
        return (
            f"{abs(growth):,} {'fewer' if growth < 0 else 'more'} than in"
            if growth
            else "as many as in"
        )

    @property
    def same_definition(self) -> bool:
        """Whether both have the same inputs, lock included."""
        return self.old is not None and self.old.definition_digest == self.new.definition_digest

    @property
    def same_tree(self) -> bool:
        """Whether both trees are the same byte for byte."""
        return self.old is not None and self.old.tree_digest == self.new.tree_digest


def two_sides(old: Version | None, new: Version, difference: Difference | None = None) -> Sides:
    """Return two versions side by side, with the review of their changes."""
    packages = compare(old.packages if old else [], new.packages)
    return Sides(old=old, new=new, review=review(packages, difference))
