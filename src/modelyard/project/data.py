"""The `data:` section."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelyard.project.section import Section

Share = Annotated[float, Field(gt=0, lt=1)]


class SplitSection(Section):
    """How rows without a split of their own are divided; the rest is train."""

    validation: Share = 0.15
    """Share of the rows on which candidates are screened and training stops early. Fraction."""
    test: Share = 0.25
    """Share of the rows on which the release is judged. Fraction."""
    seed: int = Field(7, ge=0)
    """Seed of the division: the same rows and seed give the same splits."""

    @model_validator(mode="after")
    def _leaves_rows_to_train(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave no rows to train on")
        return self


class FieldsSection(Section):
    """Which column of the file holds what. In other tasks than classification what is left out is found by its name."""

    text: str = "text"
    """Column of the text."""
    label: str = "label"
    """Column of the label."""
    prompt: str | None = None
    """Column of the prompt or instruction."""
    input: str | None = None
    """Column of what an instruction is applied to, joined to the prompt."""
    completion: str | None = None
    """Column of the answer."""
    messages: str | None = None
    """Column of the conversation: a list of turns with role and content, or from and value."""
    chosen: str | None = None
    """Column of the preferred answer."""
    rejected: str | None = None
    """Column of the other answer."""


class RuleSection(Section):
    """What a project changes about one data rule."""

    budget: float | None = Field(None, ge=0)
    """What the rule may find before it fails, in the rule's unit. null: the rule's default."""
    severity: Literal["error", "warning", "off"] | None = None
    """`error` stops the run, `warning` is shown, `off` leaves the rule out. null: the rule's default."""
    minimum: int | None = Field(None, ge=0)
    """Only for `text_too_short`: characters a text must have. null: 10, or 4 where most letters are CJK."""


class UserRuleSection(Section):
    """A rule of the project's own."""

    keep: str
    """What is true of the rows to keep: an SQL expression over the columns of the files, as `LENGTH(text) < 2000`."""
    budget: float = Field(0.0, ge=0, le=1)
    """Share of all rows that it may drop before it fails. Fraction."""
    severity: Literal["error", "warning"] = "error"
    """`error` stops the run, `warning` is shown."""


class DataSection(Section):
    """The raw files and what is asked of them."""

    train: str | list[str]
    """A file, a list, a folder or a glob, in the project. CSV, TSV, JSON, JSONL, Parquet, .txt; also .gz, .zst."""
    validation: str | list[str] | None = None
    """Files of their own for validation. null: split off from train."""
    test: str | list[str] | None = None
    """Files of their own for test. null: split off from train."""
    split: SplitSection = SplitSection()
    """How the splits that have no files of their own are made."""
    fields: FieldsSection = FieldsSection()
    """Which column holds what."""
    slices: list[str] = Field(default_factory=list)
    """Columns by whose values the model is judged as well."""
    group: str | None = None
    """Column whose rows never cross splits: a customer, a document. null: rows are independent."""
    benchmarks: str | list[str] | None = None
    """Files of benchmark questions that must not stand in the data, one a row; edited copies are found too."""
    filters: list[str] = Field(default_factory=list)
    """Published filters that drop rows: `gopher`, `c4`, `fineweb`, or rules of theirs such as `gopher_word_count`."""
    skip_bad_rows: bool = False
    """true: rows that cannot be read go to dropped.parquet, at most 1% (rule `row_unreadable`). false: an error."""
    rules: dict[str, RuleSection] = Field(default_factory=dict)
    """Rule name -> what to change about it; `modelyard check --rules` lists them."""
    user_rules: dict[str, UserRuleSection] = Field(default_factory=dict)
    """Name -> rule of your own, by which rows are dropped."""
