"""Models measured on data that they were not trained on."""
