"""What a run did, for people: `html` is one page, `text` a summary for the terminal."""

from curate.report.funnel import text
from curate.report.page import html

__all__ = ["html", "text"]
