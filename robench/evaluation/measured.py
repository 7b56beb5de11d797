"""Look at a trained classifier with the measures of a suite."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from robench.adversary.attack import out_of_memory, right
from robench.adversary.measure import Curve, Measure, Reading, Value
from robench.adversary.suite import Suite
from robench.data.load import Data
from robench.device import full_precision
from robench.errors import AttackError
from robench.evaluation.cost import Cost, spending
from robench.evaluation.evaluate import Evaluated
from robench.evaluation.journal import Journal
from robench.evaluation.outcomes import Outcomes
from robench.evaluation.probes.outputs import draws
from robench.evaluation.trial import CHUNK, After
from robench.keeping import Keeper, State
from robench.models.passes import Passes, counted
from robench.names import TOGETHER
from robench.seeds import derive, seeded
from robench.threat import Threat


def measure(
    model: nn.Module,
    suite: Suite,
    data: Data,
    threats: Sequence[Threat],
    seed: int,
    after: After,
    keeper: Keeper | None = None,
    *,
    stochastic: bool = False,
    stand_in: Suite | None = None,
) -> list[Evaluated]:
    """Every measure at every radius, in float32, and what they come to together.

    Where the model draws, or is said to be ``stochastic``, the suite's stand-in takes its place.

    Raises:
        AttackError: a measure failed, or returned what no table can hold.
    """
    model.eval()
    if stand_in is not None and (stochastic or draws(model, data)):
        suite = stand_in
    found, n, journal = [], len(data.test), Journal(keeper)
    for at, threat in enumerate(threats):
        readings, costs = dict[str, Reading](), dict[str, Cost]()
        with full_precision(), counted(model) as passes:
            natural = _natural(model, data, seed, suite.looks)
            for name, look in suite.measures.items():
                if (known := journal.next()) is None:
                    looked = _looked(name, look, model, data, threat, seed, passes)
                    known = journal.add(_packed(*looked))
                    journal.ended()
                readings[name], costs[name] = _unpacked(known)
                after(name, at, None, n, n)
        if suite.together:
            readings[TOGETHER] = _sound(TOGETHER, suite.together(readings), n)
        outcomes = Outcomes(
            {"natural": natural.cpu().numpy()},
            data.test.y.cpu().numpy(),
            data.test.origin.cpu().numpy(),
            torch.zeros(n, dtype=torch.bool).numpy(),
            _arrays(readings),
        )
        found.append(Evaluated(outcomes, costs, suite.verdict, readings=readings))
    return found


def _natural(model: nn.Module, data: Data, seed: int, looks: int) -> Tensor:
    """Which test images, (N,), are right as they are; a model that draws does so from the seed."""
    parts = torch.arange(len(data.test)).split(CHUNK)
    with seeded(derive(seed, "natural")):
        return torch.cat([right(model, data.test.x(p), data.test.y[p], looks) for p in parts])


def _looked(
    name: str,
    look: Measure,
    model: nn.Module,
    data: Data,
    threat: Threat,
    seed: int,
    passes: Passes,
) -> tuple[Reading, Cost]:
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    device = data.test.y.device
    with spending([passes], device) as spent, seeded(derive(seed, name)):
        try:
            reading = look(model, data, threat)
        except AttackError:
            raise
        except (Exception, SystemExit) as error:
            if out_of_memory(error):
                raise AttackError(f"measure {name!r} needs more memory than there is") from error
            raise AttackError(
                f"measure {name!r} failed: {type(error).__name__}: {error}"
            ) from error
    if any(module.training for module in model.modules()):
        raise AttackError(f"measure {name!r} left the model in train mode")
    after = model.state_dict()
    if any(not torch.equal(tensor, after[key]) for key, tensor in before.items()):
        raise AttackError(f"measure {name!r} changed the model")
    return _sound(name, reading, len(data.test)), spent[0]


def _sound(name: str, reading: Reading, n: int) -> Reading:
    """The same reading; an error where no table or file can hold it."""
    if problem := _problem(reading, n):
        raise AttackError(f"measure {name!r} returned {problem}")
    return reading


def _packed(reading: Reading, cost: Cost) -> State:
    """As plain values and tensors."""
    return {
        "values": [_bare(value) for value in reading.values],
        "curves": [{**vars(c), "x": c.x.cpu(), "y": c.y.cpu()} for c in reading.curves],
        "images": {name: of.cpu() for name, of in reading.images.items()},
        "cost": astuple(cost),
    }


def _bare(value: Value) -> dict[str, object]:
    """Numbers of Python's own, where a measure gave numpy's."""
    low, high = (None if end is None else float(end) for end in (value.low, value.high))
    return {"name": value.name, "value": float(value.value), "n": value.n, "low": low, "high": high}


def _unpacked(state: State) -> tuple[Reading, Cost]:
    values = tuple(Value(**value) for value in state["values"])
    curves = tuple(Curve(**curve) for curve in state["curves"])
    return Reading(values, curves, state["images"]), Cost(*state["cost"])


def _problem(reading: object, n: int) -> str:
    """What in a reading no table or file can hold; empty: nothing."""
    if not isinstance(reading, Reading):
        return f"a {type(reading).__name__} and not a Reading"
    values, curves, images = reading.values, reading.curves, reading.images
    for kind, named in (("values", values), ("curves", curves)):
        names = [one.name for one in named]
        if len(set(names)) < len(names):
            return f"two {kind} of one name among {', '.join(names)}"
    wrong = [f"{value}" for value in values if not _is_plain(value)]
    wrong += [f"curve {curve.name!r} with another x than y" for curve in curves if not _fits(curve)]
    wrong += [
        f"{name!r} of shape {(*of.shape,)}" for name, of in images.items() if of.shape != (n,)
    ]
    return wrong[0] if wrong else ""


def _is_plain(value: Value) -> bool:
    ends = [end for end in (value.low, value.high) if end is not None]
    plain = all(isinstance(number, int | float) for number in (value.value, *ends))
    finite = plain and not math.isinf(value.value) and all(math.isfinite(end) for end in ends)
    return finite and isinstance(value.n, int)


def _fits(curve: Curve) -> bool:
    return curve.x.ndim == 1 and curve.x.shape == curve.y.shape


def _arrays(readings: Mapping[str, Reading]) -> dict[str, npt.NDArray[np.float64]]:
    """Evidence and curves as arrays by name: what goes into the file of outcomes."""
    found = {}
    for measure_name, reading in readings.items():
        for name, values in reading.images.items():
            found[f"image.{measure_name}.{name}"] = values.double().cpu().numpy()
        for curve in reading.curves:
            for axis, values in (("x", curve.x), ("y", curve.y)):
                found[f"curve.{measure_name}.{curve.name}.{axis}"] = values.double().cpu().numpy()
    return found
