"""Pages from the Jinja2 templates in `templates/`. Values are escaped; a page needs no other file."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_ENVIRONMENT = Environment(
    loader=PackageLoader("audio_dcls.inspection"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


def render_page(template: str, **values: Any) -> str:
    """The page of a file in `templates/`. `markupsafe.Markup` among the values is inserted without escaping."""
    return _ENVIRONMENT.get_template(template).render(values, as_base64=lambda data: base64.b64encode(data).decode())
