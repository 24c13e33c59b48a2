"""`benchmarks/run dtypes`: every collective with every dtype and reduce op, for docs/dtypes.md."""
