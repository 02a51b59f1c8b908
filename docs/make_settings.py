"""Writes docs/settings.md from the schema itself: `python docs/make_settings.py`. A test holds the page to it."""

import json
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from modelyard.project.schema import ProjectSchema

PAGE = Path(__file__).parent / "settings.md"
HEAD = """# Settings

`modelyard.yaml`, every key. `modelyard schema` prints the same as JSON Schema for editors. Unknown keys are refused
with the nearest known one. `null` means that Modelyard derives the value and writes the derivation to the report.

```yaml
schema: 1
project: reviews
data:
  train: data/reviews.csv
  fields: {text: review, label: stars}
  slices: [site]
model: {base: models/minilm}
```
"""


def section_of(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401
    """The section that a field holds, directly or as the items of a list or mapping."""
    parts = (annotation, *get_args(annotation))
    return next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)


def shown(default: Any) -> str:  # noqa: ANN401
    """A default as it stands in YAML."""
    return default if isinstance(default, str) else json.dumps(default)


def rows(kind: type[BaseModel], prefix: str) -> list[str]:
    """Table rows of a section, its own sections after it."""
    found = []
    for name, field in kind.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        section = section_of(field.annotation)
        if section is None:
            plain = field.get_default(call_default_factory=True)
            default = "required" if plain is PydanticUndefined else f"`{shown(plain)}`"
            found.append(f"| `{path}` | {default} | {field.description} |")
        else:
            holder = {"list": f"{path}[].", "dict": f"{path}.NAME."}
            origin = getattr(getattr(field.annotation, "__origin__", None), "__name__", "")
            found += rows(section, holder.get(origin, f"{path}."))
    return found


def page() -> str:
    """The whole page."""
    table = ["| setting | default | meaning |", "|---|---|---|", *rows(ProjectSchema, "")]
    return HEAD + "\n" + "\n".join(table) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
