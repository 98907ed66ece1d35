"""Sphinx's settings: `make docs` builds the site into build/docs. Neither it nor its pages load anything from elsewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "python")]

project = "crfasrnn"
author = "the crfasrnn contributors"
copyright = author
(release,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "extensions.plain_docstrings",  # before napoleon, which turns Google's sections into fields
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "extensions.mathml",
    "extensions.elsewhere",
    "extensions.command_help",
]
exclude_patterns = ["extensions"]
nitpicky = True
# What belongs to other packages, and aliases of types that have no page.
nitpick_ignore_regex = [
    (r"py:.*", r"(torch|numpy|np|nn|npt|collections|pathlib|types|typing|argparse|google|os|threading)(\..*)?"),
    (
        r"py:.*",
        r"(fractions\.)?Fraction|tuple\[int|caffe\.proto\..*|caffe\.layers\.(registry\._LayerClass|window\.Windows)",
    ),
    (r"py:.*", r"caffe\.net_spec\.Top|crfasrnn\.(evaluation\.scores\.Scores|many\.Failure)"),
    (r"py:.*", r"(Tensor|Path|Any|Callable|Sequence|Mapping|Iterable|Iterator|ndarray|Module|Array|optional|scalar.*)"),
]

html_theme = "furo"
html_title = f"crfasrnn {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
# Icons come with the theme's CSS; no badge, font or script of another host.
html_theme_options = {"navigation_with_keys": True}

highlight_language = "none"  # indented blocks are commands, without a prompt
pygments_style = "tango"
pygments_dark_style = "monokai"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "literal"

math_number_all = False

# Pages whose text is a file that stands elsewhere in the repository.
elsewhere_pages = {
    "benchmarks": "benchmarks/README.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "security": "SECURITY.md",
    "models/voc21-deeplab": "models/voc21-deeplab/README.md",
    "models/voc-animals-slim": "models/voc-animals-slim/README.md",
}
