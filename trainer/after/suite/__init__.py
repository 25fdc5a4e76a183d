"""What a model does, in numbers: loss in bits per byte, stops, lengths, instructions followed.

Each file of rows is measured apart, and each number has an interval. What is measured: `losses`,
`stops`, `repetition`, `lengths`, `instructions`; with what: `asking`, `intervals`.
"""
