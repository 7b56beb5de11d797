"""A cell's train.csv: one row an epoch, whole after each."""

import csv
import io
from dataclasses import asdict
from pathlib import Path

from robench.errors import PluginError
from robench.events import Epoch
from robench.store.files import write


class Curve:
    """The rows so far, and the file that always holds them all."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, list[dict[str, object]]()

    def add(self, epoch: Epoch) -> None:
        """Add an epoch's row; what the method logged comes in columns of its own at the end."""
        row = asdict(epoch)
        logged = row.pop("log")
        del row["cell"], row["epochs"]
        if taken := row.keys() & logged.keys():
            raise PluginError(f"the method logs {sorted(taken)}, which train.csv has already")
        self.rows.append(row | logged)
        write(self.path, self.text().encode())

    def text(self) -> str:
        """All rows as CSV."""
        columns = list(dict.fromkeys(column for row in self.rows for column in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    def costs(self) -> dict[str, int]:
        """Passes of one image spent on training so far."""
        return {
            name: sum(int(str(row[name])) for row in self.rows)
            for name in ("forwards", "backwards")
        }
