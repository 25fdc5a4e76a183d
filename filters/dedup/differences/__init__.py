"""The words of texts as codes, and what two texts differ in: numbers, negations, signs, names."""
