"""`benchmarks/run collectives`: every collective over ring and gloo, for docs/collectives.md."""
