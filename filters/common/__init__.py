"""What several filters share: text, shingles, vectors, statistics, ranking."""
