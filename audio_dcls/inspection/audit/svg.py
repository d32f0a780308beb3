"""A figure as SVG inside a page: in the colours of the page, without any address."""

from __future__ import annotations

import io
import re

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from audio_dcls.inspection.audit.figures import INK, RULE


def inline_svg(figure: Figure, name: str, title: str) -> Markup:
    """The figure as an `<svg>` element.

    Args:
        figure: parts drawn in `INK` and `RULE` take the colours of the page.
        name: name of the figure, different from the names of the page's other figures: it makes identifiers unique.
        title: text that screen readers read instead of the figure.
    """
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r"font:\s*([\d.]+px)[^;\"]*", r"font-size: \1", text)  # the page's own typeface
    text = re.sub(r'\bid="([\w.]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(url\(#|href="#)([\w.]+)', rf"\g<1>{name}-\2", text)
    text = text.replace(INK, "currentColor").replace(RULE, "var(--rule)")
    text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"|height="[\d.]+pt" width="[\d.]+pt"', "", text, count=1)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1))  # matplotlib escapes texts
