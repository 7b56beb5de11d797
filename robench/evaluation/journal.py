"""What an evaluation has computed so far, in order: read again when it goes on, not computed."""

from robench.keeping import Forgetful, Keeper, State


class Journal:
    """Entries in the order of the work, which is the same every time.

    Each dear step first asks for ``next``; where that is none it computes and adds. So whoever
    takes an evaluation up again goes the same way, and only begins to compute where nobody was.
    """

    def __init__(self, keeper: Keeper | None = None, first: int = 0) -> None:
        self._keeper = keeper or Forgetful()
        saved = self._keeper.load()
        self._entries: list[State] = saved["entries"] if saved else []
        self.first: int = saved.get("first", 0) if saved else first
        """Images that entries show as they fell: as many as it was begun with, whoever goes on."""
        self._at = 0

    def next(self) -> State | None:
        """The next entry, if it is known."""
        if self._at == len(self._entries):
            return None
        self._at += 1
        return self._entries[self._at - 1]

    def add(self, entry: State) -> State:
        """Note what was computed: tensors on the CPU and plain values."""
        self._entries.append(entry)
        self._at += 1
        self._keeper.between(self._state)
        return entry

    def ended(self) -> None:
        """An attack or a measure has ended: save, if all that is known was read."""
        if self._at == len(self._entries):
            self._keeper.ended(self._state)

    def _state(self) -> State:
        return {"entries": self._entries, "first": self.first}
