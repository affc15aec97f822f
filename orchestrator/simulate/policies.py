"""Which policies are compared: their names, as they are typed, and files of the user's own -> acquirers. Nothing is run here."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from traceback import walk_tb
from typing import Any, get_args

import numpy as np

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.base import NOTHING_BEFORE, Acquirer, History, Scored
from crystalloop.orchestrator.campaign.choice.sections import AcquireSection, ModelName, PolicyName
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.simulate.truth.laboratory import LaboratoryError

OWN, RANDOM = "campaign", "random"
DEFAULT = (OWN, RANDOM, "greedy@trees")
"""What is compared where nobody says it: the campaign's own policy, and two that it has to beat."""
_MODULE = "crystalloop_policy_"
MakeAcquirer = Callable[[AcquireSection], Acquirer]


@dataclass(frozen=True)
class Policy:
    """A policy that takes part.

    Attributes:
        name: as it was typed.
        campaign: with the sections `acquire` and `surrogate` that the policy stands for.
        acquirer: chooses; None draws at random.
        digest: of the user's own file; empty without one.
    """

    name: str
    campaign: Campaign
    acquirer: Acquirer | None
    digest: str = ""


@dataclass(frozen=True)
class Guarded:
    """A user's own acquirer; what goes wrong in it is told as a sentence with its line.

    Attributes:
        text: how it was named.
        acquirer: it.
    """

    text: str
    acquirer: Acquirer

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """See Acquirer; the history is for those that take one.

        Raises:
            LaboratoryError: it raised, or returned something else than pairs of a proposal and a number.
        """
        try:
            more = {"history": history} if "history" in signature(self.acquirer.choose).parameters else {}
            chosen = self.acquirer.choose(proposals, target, count, rng, **more)
            return [(row, float(score)) for row, score in chosen]
        except Exception as error:  # the user's own code
            raise LaboratoryError(
                f"policy {self.text!r}: choose() failed: {_said(error)}; it returns a list of (proposal, score)"
            ) from error


def policy_of(text: str, campaign: Campaign, make: MakeAcquirer) -> Policy:
    """A policy from its text.

    Args:
        text: `campaign`, `random`, a value of acquire.policy, such a value with `@` and one of surrogate.model, or
            FILE.py:Class.
        campaign: what the text leaves open is the campaign's.
        make: the acquirer of a section.

    Raises:
        LaboratoryError: no such policy, or a file or class that cannot be used.
    """
    if text == RANDOM:
        return Policy(text, campaign, None)
    if text == OWN:
        own = campaign.acquire
        return Policy(text, campaign, None if own.policy == RANDOM else make(own))
    if ".py" in text:
        acquirer = Guarded(text, acquirer_of_file(text))
        return Policy(text, campaign, acquirer, hashlib.sha256(Path(text.rpartition(":")[0]).read_bytes()).hexdigest())
    name, at, model = text.partition("@")
    _known(name, [OWN, *get_args(PolicyName)], "policy", "FILE.py:Class takes one of your own")
    if at:
        _known(model, get_args(ModelName), "model", "see surrogate.model")
        surrogate = campaign.surrogate.model_copy(update={"model": model})
        campaign = campaign.model_copy(update={"surrogate": surrogate})
    acquire = campaign.acquire if name == OWN else campaign.acquire.model_copy(update={"policy": name})
    return Policy(text, campaign.model_copy(update={"acquire": acquire}), make(acquire))


def variant_of(name: str, campaign: Campaign, changes: Mapping[str, Any], make: MakeAcquirer) -> Policy:
    """The campaign's own policy with some keys of its file changed, for an ablation.

    Args:
        name: of the variant.
        campaign: to change.
        changes: key with dots -> value, e.g. {"acquire.diversity": 0}.
        make: the acquirer of a section.

    Raises:
        LaboratoryError: a key that the campaign has not; pydantic.ValidationError: a value that it does not take.
    """
    spec = campaign.model_dump()
    for path, value in changes.items():
        *folders, key = path.split(".")
        place: Any = spec
        for folder in folders:
            place = place.get(folder) if isinstance(place, dict) else None
        if not isinstance(place, dict) or key not in place:
            raise LaboratoryError(f"variant {name!r}: a campaign has no key {path!r}; `crystalloop schema` lists them")
        place[key] = value
    made = Campaign.model_validate(spec)
    return Policy(name, made, make(made.acquire))


def acquirer_of_file(text: str) -> Acquirer:
    """An acquirer of the user's own file, made without arguments.

    Raises:
        LaboratoryError: no file, an error in it, no such class, or no acquirer.
    """
    file, colon, name = text.rpartition(":")
    if not colon or not file.endswith(".py"):
        raise LaboratoryError(f"policy {text!r}: write the file and its class, e.g. thompson.py:Thompson")
    path = Path(file)
    if not path.is_file():
        raise LaboratoryError(f"policy {text!r}: there is no file {file}")
    module = _module(path, text)
    if not hasattr(module, name):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise LaboratoryError(f"policy {text!r}: {path.name} has no class {name!r}{_near(name, classes)}")
    try:
        made: Acquirer = getattr(module, name)()
    except Exception as error:  # the user's own code
        raise LaboratoryError(f"policy {text!r}: {name}() cannot be made without arguments: {_said(error)}") from error
    if not callable(getattr(made, "choose", None)):
        raise LaboratoryError(f"policy {text!r}: {name} has no method choose(proposals, target, count, rng)")
    return made


def _module(path: Path, text: str) -> Any:  # noqa: ANN401
    name = f"{_MODULE}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LaboratoryError(f"policy {text!r}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's own code
        raise LaboratoryError(f"policy {text!r}: {path.name} cannot be imported: {_said(error)}") from error
    return module


def _said(error: BaseException) -> str:
    own = _own_lines(error)
    at = getattr(error, "lineno", None) or (own[-1] if own else None)
    return f"{type(error).__name__}: {error}" + (f" (line {at})" if at else "")


def _own_lines(error: BaseException) -> list[int]:
    """Lines of the user's own file that the error came through, the innermost last; none where it was not reached."""
    frames = ((frame.f_globals.get("__name__"), line) for frame, line in walk_tb(error.__traceback__))
    return [line for name, line in frames if str(name).startswith(_MODULE)]


def _known(name: str, among: Any, what: str, more: str) -> None:  # noqa: ANN401
    if name not in among:
        raise LaboratoryError(f"no {what} {name!r}{_near(name, among)}; there are {', '.join(among)}; {more}")


def _near(name: str, among: Any) -> str:  # noqa: ANN401
    close = get_close_matches(name, list(among), 1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
