"""What torch calls at the end of `import torch`, by the entry point group `torch.backends`.

An exception here would break `import torch` for everybody, so this does next to nothing and never raises: it
registers the name, and the compiled module is loaded when the first group is made.
"""


def autoload() -> None:
    """Register the backend `ring` with torch.distributed. Never raises; a second call does nothing."""
    try:
        from torch_ring._backend import register

        register()
    except Exception as error:
        import warnings

        warnings.warn(f"torch_ring could not register the backend 'ring': {error!r}", stacklevel=2)
