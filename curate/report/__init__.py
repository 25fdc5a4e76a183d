"""What a run did, for people: `html` is one page, `text` a summary for the terminal."""

from curate.report.funnel import text
from curate.report.page import html, prepare

__all__ = ["html", "prepare", "text"]
