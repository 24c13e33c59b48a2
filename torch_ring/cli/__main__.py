"""`python -m torch_ring.cli`: the same as `torch-ring`. The ranks that a command starts are started so."""

from torch_ring.cli import main

if __name__ == "__main__":
    main()
