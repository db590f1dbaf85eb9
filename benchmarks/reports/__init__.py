"""Report pages: one HTML file each, self-contained, and the same tables as Markdown and LaTeX.

Shared parts: `page` (frame and style), `tables`, `pictures` (inline images), `charts`. A report is a module and a template.
"""
