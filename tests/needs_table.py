"""Print the table of docs/memory.md, memory per rule: python tests/needs_table.py."""

from cellferry.resources.memory import BLOCK_BYTES, MB, MEMORY_MODELS

HEADER = (
    "| rule | fixed, MB | bytes per cell | blocks of 32 MB at once | bytes per value of a sketch |\n"
    "|---|---|---|---|---|\n"
)


def needs_table() -> str:
    """One row per rule."""
    assert BLOCK_BYTES == 32 * MB
    rows = (
        [rule, need.fixed_mb, need.cell_bytes, need.blocks, need.value_bytes]
        for rule, need in MEMORY_MODELS.items()
    )
    return HEADER + "".join(
        f"| `{rule}` | " + " | ".join(str(number) if number else "" for number in numbers) + " |\n"
        for rule, *numbers in rows
    )


if __name__ == "__main__":
    print(needs_table(), end="")
