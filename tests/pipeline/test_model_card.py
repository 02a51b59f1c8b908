import pytest
from markdown_it import MarkdownIt

from modelyard.pipeline.model_card import escaped


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[link](javascript:alert(1))",
        "![image](http://x/y.png)",
        "**bold** _it_ `code` ~~gone~~",
        "# heading",
        "- item",
        "1. item",
        "1) item",
        "> quote",
        "---",
        "===",
        "a | b",
        "&lt;b&gt; &amp;",
        "<!-- hidden -->",
        "back\\slash",
        "电影 “好”",
    ],
)
def test_a_users_string_is_only_text_wherever_it_stands(text: str) -> None:
    read = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    (opening, inline, closing) = read.parse(escaped(text))
    assert (opening.type, closing.type) == ("paragraph_open", "paragraph_close")
    assert {child.type for child in inline.children or []} <= {"text", "text_special"}
    assert "".join(child.content for child in inline.children or []) == text


def test_lines_are_joined() -> None:
    assert escaped("one\n# two\r\n\tthree") == "one # two three"
