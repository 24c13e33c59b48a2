"""`python -m torch_ring`: prints the settings, their limits and defaults."""

from torch_ring._backend import load


def main() -> None:
    """Print one paragraph per setting."""
    for parameter in load().parameters():
        unit = f" {parameter.unit}" if parameter.unit else ""
        print(f"{parameter.name}\n    {parameter.meaning}")
        print(f"    allowed: {parameter.allowed}; default: {parameter.default or 'unset'}{unit}")


if __name__ == "__main__":
    main()
