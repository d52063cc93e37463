"""Settings of the documentation site: `make docs`, or `sphinx-build docs docs/_build`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

from sphinx.util.inspect import TypeAliasForwardRef  # noqa: E402

import glacierscale  # noqa: E402

project = "glacierscale"
author = "the glacierscale developers"
copyright = f"2026, {author}"
version = release = glacierscale.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "from_the_package",
    "from_the_notebooks",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_ext", "_templates"]
default_role = "code"  # what stands in single backticks in a docstring is code
nitpicky = True
nitpick_ignore_regex = [
    # Types of other libraries, and our own that are not public, stand in signatures as text.
    (r"py:(class|data|obj|meth)", r"(?!glacierscale\.[A-Z]\w+$|glacierscale\.[a-z]+$).*"),
]

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # pages show the outputs that are committed; the tests execute
nb_merge_streams = True

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_class_signature = "separated"
autodoc_default_options = {"exclude-members": "__init__, __new__"}
autodoc_typehints = "signature"
autodoc_type_aliases = {
    "npt.ArrayLike": "ArrayLike",
    **dict.fromkeys(("Floats", "Ints", "Years", "Flags", "Strings"), "ndarray"),
}
TypeAliasForwardRef.__repr__ = lambda alias: alias.name  # as text inside tuples and unions too
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_use_plots = False
viewcode_line_numbers = True

html_math_renderer = "mathml"  # of our own extension: nothing is fetched from elsewhere
html_theme = "pydata_sphinx_theme"
html_title = "glacierscale"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "github_url": "https://github.com/glacierscale/glacierscale",
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_nav_level": 2,
}
html_sidebars = {"index": [], "tutorial": [], "data-credits": []}
copybutton_exclude = ".linenos, .gp, .go"
