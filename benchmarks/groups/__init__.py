"""`benchmarks/run groups`: what groups cost and how fast they form, for docs/groups.md."""
