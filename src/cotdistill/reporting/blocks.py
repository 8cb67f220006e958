"""The parts of a report before it has a form: chapters of sentences, tables and charts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Section:
    """One table.

    `note` is the line below it; `prominent` tables are printed in the terminal too; a `folded` one
    is opened by the reader of the page.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    prominent: bool = False
    folded: bool = False


@dataclass(frozen=True)
class Chart:
    """One chart of the page; the other forms of the report have the table of the same figures.

    `draw` is called with the width in pixels, once for wide windows and once for narrow ones.
    `description` says what a reader sees who does not see it.
    """

    title: str
    description: str
    draw: Callable[[float], "Figure"]
    note: str = ""


@dataclass(frozen=True)
class Browser:
    """The place of what the reader of the page leafs through: `data` of the page has its content.

    pairs: any row against any other. rationales: kept and dropped ones. answers: every question.
    """

    name: Literal["pairs", "rationales", "answers"]


@dataclass(frozen=True)
class Transcription:
    """One answered question, whole, for the forms of the report that have no browser."""

    label: str
    verdict: str
    question: str
    gold: str
    text: str


@dataclass(frozen=True)
class Chapter:
    """One question of the reader with its answer; `key` names it in links and in tests."""

    key: str
    title: str
    sentences: Sequence[str]
    blocks: Sequence[Section | Chart | Browser | Transcription]

    @property
    def sections(self) -> list[Section]:
        """Its tables that have rows."""
        return [one for one in self.blocks if isinstance(one, Section) and one.rows]
