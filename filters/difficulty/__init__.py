"""How much a small model gains from the instruction (IFD): texts, losses, the filter."""
