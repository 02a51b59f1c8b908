"""The map step: names that stay apart, and how files go in bundles."""

from pathlib import Path

from modelyard.data import mapping
from modelyard.data.mapping import Part, bundles, field_name, wide_name
from modelyard.data.reading.survey import Cut, Surveyed


def test_names_that_differ_by_case_alone_stay_apart() -> None:
    names = ["Text", "text", "正文", "place", "\x01raw", 'a"b']
    assert [field_name(wide_name(name)) for name in names] == names
    assert len({wide_name(name).casefold() for name in names}) == len(names)


def test_many_small_files_go_in_bundles_of_so_many() -> None:
    """A bundle of 100,000 files would be one process's work, and their frames gigabytes."""
    cut = Cut(0, 9, 1)
    file = Surveyed("a.csv", Path("a.csv"), "csv", "sha256:0", "utf-8", False, (cut,), 9)
    part = Part(file=0, surveyed=file, cut=cut, split="train")
    work = bundles([part] * (2 * mapping.BUNDLE_PARTS + 1))
    assert [len(bundle.parts) for bundle in work] == [mapping.BUNDLE_PARTS, mapping.BUNDLE_PARTS, 1]


def test_ranges_of_parquet_rows_count_as_large_as_their_share_of_the_file(tmp_path: Path) -> None:
    cuts = (Cut(0, 900, 1), Cut(900, 1_000, 901))
    surveyed = Surveyed("a.parquet", tmp_path / "a.parquet", "parquet", "sha256:0", "", False, cuts, 4_000_000)
    empty = Surveyed("b.parquet", tmp_path / "b.parquet", "parquet", "sha256:0", "", False, (Cut(0, 0, 1),), 500)
    made = [Part(file=0, surveyed=file, cut=cut, split="train") for file in (surveyed, empty) for cut in file.cuts]
    # three times as large in memory as on disk
    assert [(len(bundle.parts), bundle.size_bytes) for bundle in bundles(made)] == [(1, 10_800_000), (2, 1_200_000)]
