"""Conversations written apart: the same text as here, and an end to templates that have none."""

import signal
import threading
from collections.abc import Iterator

import pytest

from modelyard.errors import InputError
from modelyard.tasks import rendering
from modelyard.tasks.chat import Rendered, Template, render
from modelyard.tasks.rendering import Write, writing

PLAIN = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
# one operation, which no signal handler of Python's interrupts
POWER = "{{ (messages[0].content | length + 5) ** (9 ** 9) }}"
HUGE = "{{ messages[0].content * 10 ** 11 }}"


def turns(question: str) -> list[dict[str, object]]:
    said = (("user", question), ("assistant", "好 \ud800 fine"))
    return [{"role": role, "content": content, "tool_calls": None} for role, content in said]


def slow(what: str) -> Template:
    """A template that does something else where it is asked for it."""
    return Template("{% if messages[0].content == 'slow' %}" + what + "{% endif %}" + PLAIN, {})


@pytest.fixture
def write() -> Iterator[Write]:
    with writing(Template(PLAIN, {})) as write:
        yield write


def test_it_is_the_same_text_as_here(write: Write) -> None:
    for question in ("hi", "你好\n", "\u2028 </>"):
        found = write(turns(question), "a:1")
        assert found == render(turns(question), Template(PLAIN, {}))
        assert isinstance(found, Rendered) and found.text.endswith("<assistant>好 \ud800 fine</>")


def test_it_works_in_any_thread(write: Write) -> None:
    found: list[Rendered] = []
    thread = threading.Thread(target=lambda: found.append(write(turns("hi"), "a:1")))
    thread.start()
    thread.join()
    assert found == [render(turns("hi"), Template(PLAIN, {}))]


# a second of processor time each, and on a busy machine several
@pytest.mark.parametrize("what", [LOOPS, POWER])
def test_a_template_without_an_end_is_ended(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 1)
    with writing(slow(what)) as write:
        assert write(turns("quick"), "chats.jsonl:1").text.startswith("<user>quick")
        with pytest.raises(InputError) as caught:
            write(turns("slow"), "chats.jsonl:2")
    (problem,) = caught.value.problems
    assert problem.where == "chats.jsonl:2"
    assert problem.message == "the chat template has not written the conversation in 1 s of processor time"
    assert "shorten the conversation" in problem.next_step


def test_a_template_that_takes_all_memory_is_refused() -> None:
    with writing(slow(HUGE)) as write:
        with pytest.raises(ValueError, match=r"^the chat template takes more than 4 GiB$"):
            write(turns("slow"), "a:1")
        assert write(turns("quick"), "a:2").text.startswith("<user>quick")  # the next one is written all the same


def test_a_text_without_measure_is_refused() -> None:
    many = "{{ 'a' * 70000000 }}"
    with writing(slow(many)) as write, pytest.raises(ValueError, match="more than 67,108,864 characters of it"):
        write(turns("slow"), "a:1")


def test_a_process_that_dies_is_told(write: Write) -> None:
    import psutil

    write(turns("hi"), "a:1")
    (child,) = [one for one in psutil.Process().children() if "modelyard.tasks.rendering" in one.cmdline()]
    child.send_signal(signal.SIGKILL)
    with pytest.raises(InputError, match=r"^a:2: the process in which the chat template .* ended with SIGKILL"):
        write(turns("hi"), "a:2")
