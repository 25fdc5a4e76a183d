"""How far training moved a model inside: layer by layer, on a text, from sums of one pass."""
