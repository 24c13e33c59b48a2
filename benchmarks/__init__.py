"""All that measures: a folder for each benchmark, named as `benchmarks/run NAME` names it, and the demo's.

Beside them is what they share: program.py, how they are called; cluster.py, the hosts that they run on. They
use the harness and torch_ring's command line. Nothing of the tests is imported here.
"""
