"""Steps over records: recipes, the runner, the engine, the ledger and the RUN folder."""
