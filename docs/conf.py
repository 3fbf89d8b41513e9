"""How Sphinx builds this documentation: ``make docs``. Why Sphinx: ``docs/adr/0021-documentation.md``."""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

import facepool

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools"))
import reference_pages  # noqa: E402 -- it lies in tools/

reference_pages.write(HERE / "_generated")

project = "facepool"
copyright = "the contributors of facepool"  # noqa: A001 -- Sphinx names it
release = version = facepool.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_generated", "_build"]
default_role = "code"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature has the types
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = f"facepool {version}"
html_static_path = ["_static"]
html_css_files = ["facepool.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"footer_icons": []}


def setup(app: Sphinx) -> None:
    """Let signatures say ``ndarray``: shape, type and order of axes are in the words below them."""
    app.connect("autodoc-process-signature", _shorten)


def _shorten(
    _app: Sphinx, _what: str, _name: str, _thing: object, _options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    if signature == "(*args, **kwargs)":  # a protocol, which nobody calls
        return "", None
    return _without_dtypes(signature), _without_dtypes(returned)


def _without_dtypes(text: str | None) -> str | None:
    return text and re.sub(r"(~?numpy\.)?ndarray\[tuple\[.*?\], ~?(numpy\.)?dtype\[[^\]]*\]\]", "ndarray", text)
