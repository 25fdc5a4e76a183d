"""Before step 1: the plan, the gate, the proof, the rate, a rehearsal."""
