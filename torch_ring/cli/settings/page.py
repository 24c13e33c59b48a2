"""The settings as text, and as the page docs/configuration.md. Called by command.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch_ring._C import Parameter

_INTRODUCTION = """# Configuration

Each setting has a default, an environment variable that changes it for all groups of a process, and, where it
concerns one group only, an attribute of `torch_ring.Options`, which changes it for that group:

```python
options = torch_ring.Options(algorithm="flat", chunk_bytes=1 << 20)
torch.distributed.new_group(ranks, backend="ring", pg_options=options)
```

A wrong value is an error that names the setting and says what is allowed; an unknown `TORCH_RING_*`
variable is a warning. `None`, or an empty variable, means the default. Settings that must be the same on
every rank of a group are compared when it forms, and every rank is told who differs. The timeout is torch's
own: `timeout=`, and later `group.set_timeout(timedelta)`.
(`torch.distributed.distributed_c10d._set_pg_timeout` knows gloo and nccl by their types: for ring it warns,
and changes nothing.) To try several hosts on one machine, give ranks different values of
`TORCH_RING_HOST_ID`.

`torch-ring settings --markdown`, of `pip install torch-ring[bench]`, makes this page from the one table that
declares and parses all settings.

| variable | option | type | default | allowed | unit | same on all ranks | meaning |
|---|---|---|---|---|---|---|---|
"""


def as_text(parameters: list[Parameter]) -> str:
    """One paragraph per setting."""
    paragraphs = []
    for parameter in parameters:
        unit = f" {parameter.unit}" if parameter.unit else ""
        default = f"{parameter.default}{unit}" if parameter.default else "unset"
        alike = ". The same on every rank" if parameter.alike else ""
        paragraphs.append(
            f"{parameter.name}\n    {parameter.meaning}{alike}\n"
            f"    allowed: {parameter.allowed}; default: {default}"
        )
    return "\n".join(paragraphs) + "\n"


def as_markdown(parameters: list[Parameter]) -> str:
    """The page docs/configuration.md."""
    rows = []
    for parameter in parameters:
        cells = [
            f"`{parameter.name}`",
            f"`{parameter.field}`" if parameter.per_group else "",
            parameter.type,
            parameter.default or "unset",
            parameter.allowed,
            parameter.unit,
            "yes" if parameter.alike else "",
            parameter.meaning,
        ]
        rows.append("| " + " | ".join(cells) + " |\n")
    return _INTRODUCTION + "".join(rows)
