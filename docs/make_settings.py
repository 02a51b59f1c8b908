"""Writes docs/settings.md and its Chinese twin from the schema itself: `python docs/make_settings.py`.

The Chinese of every description stands in settings.zh-CN.json. A test holds both pages to the schema.
"""

import json
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from modelyard.project.schema import ProjectSchema

DOCS = Path(__file__).parent
EXAMPLE = """```yaml
schema: 1
project: reviews
data:
  train: data/reviews.csv
  fields: {text: review, label: stars}
  slices: [site]
model: {base: models/minilm}
```
"""
HEAD = f"""# Settings

`modelyard.yaml`, every key. `modelyard schema` prints the same as JSON Schema for editors. Unknown keys are refused
with the nearest known one. `null` means that Modelyard derives the value and writes the derivation to the report.

{EXAMPLE}"""
CHINESE_HEAD = f"""# 设置

`modelyard.yaml` 的所有键。`modelyard schema` 以 JSON Schema 打印同样的内容，供编辑器使用。
不认识的键会被拒绝，并给出最接近的已知键。`null` 表示由 Modelyard 推出该值，推导过程写入报告。

{EXAMPLE}"""


def section_of(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401
    """The section that a field holds, directly or as the items of a list or mapping."""
    parts = (annotation, *get_args(annotation))
    return next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)


def shown(default: Any) -> str:  # noqa: ANN401
    """A default as it stands in YAML."""
    return default if isinstance(default, str) else json.dumps(default)


def rows(kind: type[BaseModel], prefix: str) -> list[tuple[str, str, str]]:
    """Path, default and meaning of each setting of a section, its own sections after it; no default is empty."""
    found = []
    for name, field in kind.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        section = section_of(field.annotation)
        if section is None:
            plain = field.get_default(call_default_factory=True)
            default = "" if plain is PydanticUndefined else f"`{shown(plain)}`"
            found.append((path, default, str(field.description)))
        else:
            holder = {"list": f"{path}[].", "dict": f"{path}.NAME."}
            origin = getattr(getattr(field.annotation, "__origin__", None), "__name__", "")
            found += rows(section, holder.get(origin, f"{path}."))
    return found


def page() -> str:
    """The English page."""
    table = [
        f"| `{path}` | {default or 'required'} | {meaning} |" for path, default, meaning in rows(ProjectSchema, "")
    ]
    return "\n".join([HEAD, "| setting | default | meaning |", "|---|---|---|", *table, ""])


def chinese_page() -> str:
    """The Chinese page.

    Raises:
        KeyError: a description has no Chinese in settings.zh-CN.json.
    """
    words: dict[str, str] = json.loads((DOCS / "settings.zh-CN.json").read_text(encoding="utf-8"))
    table = [
        f"| `{path}` | {default or '必填'} | {words[meaning]} |" for path, default, meaning in rows(ProjectSchema, "")
    ]
    return "\n".join([CHINESE_HEAD, "| 设置 | 默认值 | 含义 |", "|---|---|---|", *table, ""])


if __name__ == "__main__":
    (DOCS / "settings.md").write_text(page(), encoding="utf-8")
    (DOCS / "settings.zh-CN.md").write_text(chinese_page(), encoding="utf-8")
