"""`benchmarks/run performance`: ring, gloo and Open MPI on many clusters, for docs/performance.md."""
