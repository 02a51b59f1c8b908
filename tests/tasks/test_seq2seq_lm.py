"""Pairs as token ids: what is read, what is written, and how either is cut."""

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors

from modelyard.tasks.classification import load_tokenizer
from modelyard.tasks.seq2seq_lm import closing, encode_pairs, shortened, sides


def bart_like() -> Tokenizer:
    """A tokenizer of words that sets <s> before and </s> behind every text, as BART's does."""
    words = {word: place for place, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "one", "two", "three"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def test_both_sides_are_what_the_tokenizer_writes() -> None:
    (row,) = encode_pairs(bart_like(), ["one two"], ["three"], end=2)
    assert list(row.ids) == [0, 4, 5, 2, 0, 6, 2]
    assert row.marks == b"\0\0\0\0\1\1\1"
    assert [list(side) for side in sides(row.ids, row.marks)] == [[0, 4, 5, 2], [0, 6, 2]]


def test_a_target_ends_where_the_tokenizer_sets_nothing(tiny_pair_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_pair_model)
    (row,) = encode_pairs(tokenizer, ["a"], ["good"], end=2)
    assert list(row.ids) == [*tokenizer.encode("a").ids, *tokenizer.encode("good").ids, 2]


def test_an_empty_side_is_the_end_token_alone(tiny_pair_model: Path) -> None:
    (row,) = encode_pairs(load_tokenizer(tiny_pair_model), [""], [""], end=2)
    assert (list(row.ids), row.marks) == ([2, 2], b"\0\1")


def test_a_source_is_cut_as_the_tokenizer_cuts_it() -> None:
    tokenizer = bart_like()
    whole = tokenizer.encode("one two three one").ids
    tokenizer.enable_truncation(4)
    assert shortened(whole, 4, closing(tokenizer)) == tokenizer.encode("one two three one").ids == [0, 4, 5, 2]
    assert shortened(whole, 100, 1) == whole
