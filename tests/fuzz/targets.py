"""Everything that is fuzzed, by name: what is tried, and what has to hold of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.fuzz import arrays, commands, places, plugin_files, records


@dataclass(frozen=True)
class Target:
    """Examples, and how one is tried: the exit code comes back, or a ``Fault`` is raised."""

    examples: st.SearchStrategy[Any]
    attempt: Callable[[Any], int]
    share: int
    """Of all examples, relative to the other targets."""


TARGETS: Mapping[str, Target] = {
    "lines": Target(commands.lines(), commands.try_line, 10),
    "configs": Target(commands.configs(), commands.try_config, 6),
    "claims": Target(commands.configs(), commands.try_claims, 1),
    "records": Target(records.records(), records.try_record, 5),
    "curves": Target(places.curves(), places.try_curve, 1),
    "strange": Target(places.stranges(), places.try_strange, 2),
    "outcomes": Target(arrays.outcomes(), arrays.try_outcomes, 1),
    "images": Target(arrays.images(), arrays.try_images, 1),
    "weights": Target(arrays.weights(), arrays.try_weights, 2),
    "plugins": Target(plugin_files.plugins(), plugin_files.try_plugin, 6),
}
