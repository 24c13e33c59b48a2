"""What `scripts/demo` runs: the same training over several backends, in turns, within one run.

run.py sets up and starts the ranks, rank.py is what each of them does, report.py compares what they wrote.
The model and the training are those of examples/.
"""
