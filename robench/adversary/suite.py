"""Attack suites: attacks in order, and the worst case over all of them."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from functools import partial
from typing import Literal, get_args

from torch import Tensor, nn

from robench import plugins, settings
from robench.adversary.attack import Attack, attempt, right
from robench.adversary.measure import Measure, Together
from robench.adversary.packages import EXTRA
from robench.adversary.standard import RAND, RAND_L1, STANDARD, STANDARD_L1, holds
from robench.adversary.transfer import Crafted, crafted_on, sources
from robench.errors import ConfigError, PluginError
from robench.names import ADAPTIVE, TOGETHER, WORST
from robench.radius import NORMS, THREATS, Norm
from robench.seeds import derive, seeded
from robench.settings import Plain
from robench.threat import Threat
from robench.versions import version

Verdict = Literal["full", "audited", "stochastic", "upper-bound", "none"]

_NEEDED: Mapping[Verdict, tuple[Mapping[str, Attack], Mapping[str, Attack]]] = {
    "full": (STANDARD, STANDARD_L1),
    "audited": (STANDARD, STANDARD_L1),
    "stochastic": (RAND, RAND_L1),
    "upper-bound": ({}, {}),
    "none": ({}, {}),
}
"""What a verdict rests on, and what it rests on in L1."""


@dataclass(frozen=True)
class Audit:
    """Some attacks are run on a random part of what stands, and on all of it if one image falls."""

    attacks: tuple[str, ...]
    """The last ones of the suite."""
    images: int = 500
    """In the random part."""


@dataclass(frozen=True)
class Suite:
    """Named attacks, from cheap to dear; each sees only the images that still stand."""

    attacks: Mapping[str, Attack] = field(default_factory=dict)
    verdict: Verdict = "upper-bound"
    """``full``: AutoAttack's four attacks at their published budgets. Nothing less may say so.
    ``none``: there is no robust accuracy, because it measures something else."""
    norms: tuple[Norm, ...] = NORMS
    """Where all its attacks are defined."""
    needs: tuple[tuple[str, ...], ...] = ()
    """Importable packages, any one of each group."""
    audit: Audit | None = None
    """What is run on a part only; for the verdict ``audited``."""
    looks: int = 1
    """Times that a stochastic model is asked about an image; the majority is the answer."""
    when_random: str = ""
    """The suite that takes its place on a stochastic model."""
    measures: Mapping[str, Measure] = field(default_factory=dict)
    """What it looks at instead of attacking."""
    together: Together | None = None
    """What all its measures come to, where they come to anything."""
    note: str = ""
    """What a reader of its numbers has to know; none: that they are no robust accuracy."""

    def __post_init__(self) -> None:
        """Refuse what no table could show, and a claim that the attacks do not bear out."""
        if self.verdict not in get_args(Verdict):
            raise PluginError(f"verdict {self.verdict!r} is none of {', '.join(get_args(Verdict))}")
        for in_l1 in {norm == "L1" for norm in self.norms}:
            if not holds(self.attacks.values(), needed := _NEEDED[self.verdict][in_l1]):
                raise PluginError(
                    f"only AutoAttack's attacks at their published budgets ({', '.join(needed)}) "
                    f"may call themselves {self.verdict}"
                )
        if (self.verdict == "audited") != (self.audit is not None):
            raise PluginError("a suite with an audit, and no other, has the verdict 'audited'")
        if self.audit and tuple(self.attacks)[-len(self.audit.attacks) :] != self.audit.attacks:
            raise PluginError("what is audited should be the last attacks of the suite, in order")
        if not self.norms or not set(self.norms) <= set(THREATS):
            raise PluginError(f"norms {self.norms!r} should be some of {', '.join(THREATS)}")
        if not all(isinstance(group, tuple) for group in self.needs):
            raise PluginError("needs should be a tuple of tuples: needs=(('package',),)")
        if bool(self.attacks) == bool(self.measures):
            raise PluginError(
                "a suite needs attacks, without which every image stands, or measures: one of both"
            )
        if bool(self.measures) != (self.verdict == "none"):
            raise PluginError("a suite with measures, and no other, has the verdict 'none'")
        if (self.together or self.note) and not self.measures:
            raise PluginError("only of measures something comes together, or has to be noted")
        for name in (*self.attacks, *self.measures):
            if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
                raise PluginError(f"attack {name!r} should be small letters, digits, . and -")
            if name in ("natural", WORST, TOGETHER):
                raise PluginError(f"an attack cannot be called {name!r}, the table's own word")

    @property
    def carries(self) -> bool:
        """Whether a verdict at one radius tells something of another: not by a stochastic model."""
        return self.looks == 1 and self.audit is None and not self.measures

    @property
    def sources(self) -> tuple[str, ...]:
        """Methods on whose cells images are crafted."""
        return sources(self.attacks)

    @property
    def surrogates(self) -> list[nn.Module]:
        """Models that images are crafted on, once it has them."""
        crafted = [attack for attack in self.attacks.values() if isinstance(attack, Crafted)]
        return [model for attack in crafted for model in attack.surrogates]

    def on(self, surrogates: Mapping[str, nn.Module]) -> "Suite":
        """The suite with models to craft on; without the attacks whose model there is not."""
        return replace(self, attacks=crafted_on(self.attacks, surrogates))

    def including(self, attack: Attack | None) -> "Suite":
        """The suite with a method's own attack after its first, which stays what a gap is from."""
        if attack is None or not self.attacks:
            return self
        (first, opening), *others = self.attacks.items()
        whole = {first: opening, ADAPTIVE: attack, **dict(others)}
        return replace(self, attacks=whole)

    def check(self, name: str, norm: Norm) -> None:
        """Raise before anything runs when the suite cannot run here."""
        if norm not in self.norms:
            raise ConfigError(f"suite {name!r} is defined for {', '.join(self.norms)}, not {norm}")
        for group in self.needs:
            if not any(plugins.is_there(package) for package in group):
                ours = set(group) & set(EXTRA)
                what = "'robench[attacks]'" if ours else group[-1]
                raise ConfigError(
                    f"suite {name!r} needs the package {' or '.join(group)}; pip install {what}"
                )

    def plain(self) -> list[Plain]:
        """Its attacks or measures in order, each with its name, what it is and every setting."""
        parts: list[tuple[str, Attack | Measure | Together]]
        parts = [*self.attacks.items(), *self.measures.items()]
        if self.together:
            parts.append((TOGETHER, self.together))
        return [{"name": name, **_plain(part)} for name, part in parts]

    def rules(self) -> Plain:
        """How outcomes are judged, beyond the attacks."""
        audit = self.audit and {"attacks": [*self.audit.attacks], "images": self.audit.images}
        return {"looks": self.looks, "audit": audit, "carries": self.carries}

    def packages(self) -> str:
        """Names and versions of the packages that its attacks come from; empty: robench itself."""
        names = [name for group in self.needs for name in group]
        here = [name for name in names if plugins.is_there(name)]
        return ", ".join(f"{name} {version(name) or 'of unknown version'}" for name in here)

    def run(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int
    ) -> Iterator[tuple[str, Tensor]]:
        """After each attack, a mask (B,) of the images that still stand; ``natural`` comes first.

        For one batch at one radius; at eps 0 nothing runs, and every mask is the natural one.

        Raises:
            AttackError: an attack failed or broke the rules, or logits are not finite.
        """
        model.eval()
        with seeded(derive(seed, "natural")):  # a model may draw
            stands = right(model, x, y, self.looks)
        yield "natural", stands.clone()
        for name, attack in self.attacks.items():
            todo = stands.nonzero().squeeze(1)
            if len(todo) and threat.eps:
                x_adv = attempt(name, attack, model, x[todo], y[todo], threat, derive(seed, name))
                with seeded(derive(seed, name, "look")):
                    stands[todo] = right(model, x_adv, y[todo], self.looks)
            yield name, stands.clone()


def _plain(attack: Attack | Measure | Together) -> Plain:
    if is_dataclass(attack) or inspect.isroutine(attack) or isinstance(attack, partial):
        found = settings.plain_value(attack)
        return found if isinstance(found, dict) else {"is": found}
    return {"is": type(attack).__qualname__, **settings.plain_value(vars(attack))}


def suite(name: str) -> Suite:
    """The suite that the plugin file ``name`` defines."""
    found = getattr(plugins.get("attacks", name).load(), "suite", None)
    if not isinstance(found, Suite):
        raise PluginError(
            f"suite {name!r} has no suite; end its file with: suite = Suite({{'name': attack}})"
        )
    if ADAPTIVE in found.attacks:
        raise PluginError(f"suite {name!r}: {ADAPTIVE!r} is the name of a method's own attack")
    return found
