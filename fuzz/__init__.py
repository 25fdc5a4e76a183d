"""Random input for everything that reads what strangers wrote: `python -m fuzz --help`.

A fuzzer makes cases out of a random generator and checks what the toolkit does with each. Cases are
plain JSON, so that one that fails can be saved, shrunk and tried again (`fuzz/cases`).
"""
