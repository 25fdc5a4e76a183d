"""What every page that is written here has in common."""

from __future__ import annotations

# Nothing is fetched and nothing runs, even where text of a stranger became part of the page.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
