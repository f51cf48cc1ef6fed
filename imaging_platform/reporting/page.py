"""An executed notebook as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from imaging_platform.reporting import viewer
from imaging_platform.reporting.markup import Html, escape

if TYPE_CHECKING:
    from nbformat import NotebookNode

THEME = Path(__file__).parent / "theme"

LIMIT_BYTES = 1_500_000
"""A page above this is slow to open from a store and cannot be sent by mail."""

_LOADED = re.compile(
    r"""<[a-z][^<>]*?\s(?:src|srcset|poster|data|action|background)\s*=\s*["']?\s*(?!data:)(?:[a-z][a-z0-9+.-]*:)?//[^\s"'>]*"""
    r"""|<(?:link|use|image|object|embed|iframe)\b[^<>]*?\shref\s*=\s*["']?\s*(?:[a-z]+:)?//[^\s"'>]*"""
    r"""|url\(\s*["']?\s*(?:[a-z]+:)?//[^)]*\)"""
    r"""|@import[^;]*;""",
    re.IGNORECASE,
)


def render_page(notebook: NotebookNode, *, failure: str = "") -> str:
    """
    Return `notebook` as HTML: code hidden, style and pictures inside.

    The one script that can run is the slice viewer's, and only in a page that has
    one: what a notebook shows of its own is kept from running by its digest.

    Parameters
    ----------
    notebook
        With outputs. ``metadata.title`` is the title of the page; ``$name`` in it
        stands for the parameter of that name.
    failure
        Shown on top of a partial report; empty for a complete one.
    """
    from nbconvert.exporters import HTMLExporter
    from traitlets.config import Config

    config = Config()
    config.NbConvertBase.display_data_priority = [
        "text/html",
        "text/markdown",
        "image/svg+xml",
        "image/jpeg",
        "image/png",
        "text/plain",
    ]
    exporter = HTMLExporter(
        config=config,
        template_name="report",
        extra_template_basedirs=[str(THEME)],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        mathjax_url="",
        require_js_url="",
    )
    parameters = notebook.metadata.get("papermill", {}).get("parameters", {})
    title = Template(notebook.metadata.get("title", "Report"))
    report = {
        "css": (THEME / "report.css").read_text(encoding="utf-8"),
        "title": title.safe_substitute(parameters),
        "failure": failure,
        **_script_for(notebook),
    }
    page, _ = exporter.from_notebook_node(notebook, resources={"report": report})
    return page


def _script_for(notebook: NotebookNode) -> dict[str, str]:
    """Return the viewer's script and the policy that lets it alone run."""
    outputs = (o for cell in notebook.cells for o in cell.get("outputs", ()))
    shown = (str(o.get("data", {}).get("text/html", "")) for o in outputs)
    if not any(viewer.MARK in html for html in shown):
        return {"script": "", "script_policy": ""}
    code = viewer.script()
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return {"script": code, "script_policy": f"; script-src 'sha256-{digest}'"}


_SHELL = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body><main>
<header><h1>{title}</h1></header>
{body}
</main></body>
</html>
"""


def render_plain(title: str, body: Html) -> str:
    """Return a page in the style of the reports that no notebook made."""
    return _SHELL.format(
        title=escape(title),
        style=(THEME / "report.css").read_text(encoding="utf-8"),
        body=body.markup,
    )


def external_references(page: str) -> tuple[str, ...]:
    """
    Return what a browser would fetch from elsewhere when it shows `page`.

    Sources, style sheets, fonts and ``url(...)`` with a host count; a link that a
    reader may click (``<a href>``) loads nothing and does not.
    """
    return tuple(sorted({match.group(0)[:200] for match in _LOADED.finditer(page)}))
