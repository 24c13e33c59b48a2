"""`benchmarks/run peers`: ring_perf beside other libraries, installed by peers/install."""
