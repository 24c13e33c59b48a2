"""torch's own test-suite of torch.distributed, run over ring and over gloo: `scripts/test --torch-suite`.

The suite is the one that ships inside torch (torch.testing._internal.distributed.distributed_test), on CPU
tensors. A test that passes on gloo and not on ring is a failure, but for the list in comparison.py.
"""
