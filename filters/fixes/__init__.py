"""Steps that rewrite text and never drop: wrappers, end tokens, broken encoding, personal data."""
