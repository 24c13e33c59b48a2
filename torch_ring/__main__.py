"""`python -m torch_ring`: the same program as `torch-ring`. Commands start their ranks by it."""

from torch_ring.cli import main

if __name__ == "__main__":
    main()
