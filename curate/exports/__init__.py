"""`curate export`: a RUN or TOKENS as data and configuration that another tool runs as they are."""
