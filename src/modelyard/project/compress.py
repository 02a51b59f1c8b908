"""The `compress:` section."""

from typing import Literal

from modelyard.project.section import Section


class CompressSection(Section):
    """What a compressed candidate is chosen by."""

    goal: Literal["fastest", "smallest", "cheapest"] = "fastest"
    """fastest: least time per row. smallest: fewest bytes on disk. cheapest: least time per row times memory."""
