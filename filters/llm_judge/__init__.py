"""A language model as judge: rubrics, how they are asked and read, and the filter."""
