"""Tables of text: for Markdown, and aligned for a terminal."""

from collections.abc import Sequence


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    head, *body = rows
    # A bar in a path or a name would end its cell.
    lines = [[cell.replace("|", "\\|") for cell in row] for row in body]
    lines = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def aligned_table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows with columns of equal width, two spaces apart.

    Args:
      rows: of cells.
      right: numbers of the columns that are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
