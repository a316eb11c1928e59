"""`--fail-under MEASURE=VALUE`: what must be reached, so that a pipeline fails where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from rag_client.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from rag_client.cli.output import Output


def parse_floors(given: Iterable[str], measures: Collection[str]) -> dict[str, float]:
    """Return the least value of each measure. Raises BadParameter for one that will not be measured."""
    floors: dict[str, float] = {}
    for each in given:
        name, _, value = each.partition("=")
        if name not in measures:
            raise typer.BadParameter(
                f"{name!r} is not measured; there are {', '.join(measures)}", param_hint="--fail-under"
            )
        try:
            floors[name] = float(value)
        except ValueError:
            raise typer.BadParameter(
                f"{each!r} is not MEASURE=VALUE, such as {next(iter(measures))}=0.8",
                param_hint="--fail-under",
            ) from None
    return floors


def check_floors(output: Output, scores: Mapping[str, float], floors: Mapping[str, float]) -> None:
    """Name every measure that is below its floor; raises Exit where there is one."""
    below = {name: floor for name, floor in floors.items() if not scores[name] >= floor}
    for name, floor in below.items():
        output.warn(f"{name} is {scores[name]:.4f}, below {floor:g}", style="red")
    if below:
        raise typer.Exit(ExitCode.SOME_FAILED)
