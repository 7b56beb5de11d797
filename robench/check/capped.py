"""Settings on small budgets: what has to hold does not depend on them, the time it takes does."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any


def capped(settings: Any, caps: Mapping[str, int]) -> Any:
    """Settings, and settings in them, with at most these values where they have such names."""
    if not is_dataclass(settings) or isinstance(settings, type):
        return settings
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    short = {
        name: min(value, caps[name]) if name in caps else capped(value, caps)
        for name, value in values.items()
        if name in caps or is_dataclass(value)
    }
    return replace(settings, **short)
