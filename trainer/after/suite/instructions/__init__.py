"""Instructions that code can check: 25 kinds, prompts of our own, strict and loose verdicts.

The kinds are those of IFEval (Zhou et al. 2023, arXiv 2311.07911); the prompts, the words in them
and the checks are our own, so numbers do not compare with those on its prompts.
"""
