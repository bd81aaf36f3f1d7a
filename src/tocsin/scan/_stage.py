"""Where a trial plays: fresh resources, and requests on them.

Rule: no trial depends on what another one left. A resource is made anew (a set-up request, a fresh variable) or brought
back (the reset), and when neither is possible and its limit is used up, no verdict is made of its refusals.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tocsin.scan._compose import Draft
from tocsin.scan._errors import CannotTell
from tocsin.scan._fresh import FreshValues
from tocsin.scan._oracle import extracted
from tocsin.scan._plan import Plan, Setup
from tocsin.scan._session import Session
from tocsin.wire import Response


@dataclass(frozen=True, slots=True)
class Scene:
    """One trial's resources.

    Args:
        held: the variables that stay the same for all requests of the trial.
        capacity: how many effects the resource admits, or None where no limit is declared.
    """

    held: Mapping[str, str]
    capacity: int | None


class Stage:
    """Makes scenes, and drafts on them."""

    def __init__(self, session: Session, fresh: FreshValues) -> None:
        self._session = session
        self._fresh = fresh
        self._plan: Plan = session.plan
        self._effects_at_reset = 0

    def scene(self, *, need: int = 1) -> Scene:
        """A scene on which `need` effects are possible. Raises CannotTell if there is none to be had."""
        capacity = self._capacity(need)
        held = self._fresh.make(self._held() - self._plan.extracted)
        for setup in self._plan.setup:
            held |= self._set_up(setup, held)
        return Scene(held, capacity)

    def draft(self, scene: Scene) -> Draft:
        """A distinct request on this scene: every fresh variable anew, but for those held."""
        names = self._plan.used.union(*(state.request.names for state in self._plan.state))
        return self._filled(scene.held, names)

    def reset(self) -> None:
        """Bring the state back, where the plan says how."""
        if self._plan.reset is None:
            return
        response = self._session.ask(self._plan.reset, self._filled({}, self._plan.reset.names))
        _wanted_2xx(response, f"the reset {self._plan.reset}")
        self._effects_at_reset = self._used_ever()
        self._session.settle()

    def _capacity(self, need: int) -> int | None:
        limits = self._plan.limits
        if limits is None:
            return None
        if limits.effects is None:
            # How much is left above the floor, nobody has counted: it is brought back each time, where it can be.
            if not self._renewed():
                self.reset()
            return None
        if self._renewed():
            return limits.effects
        left = limits.effects - self._used()
        if left < need:
            self.reset()
            left = limits.effects - self._used()
        if left < min(need, limits.effects):
            raise CannotTell(
                f"[limits] effects = {limits.effects} are used up, and nothing renews them: "
                "give a [[setup]] that makes a new resource, or a [reset]"
            )
        return left

    def _used(self) -> int:
        return self._used_ever() - self._effects_at_reset

    def _used_ever(self) -> int:
        return self._session.spent.effects + self._session.spent.unread

    def _renewed(self) -> bool:
        """Whether every scene has a resource of its own. With a [reset], a list that is used up starts again."""
        per = self._plan.limits.per if self._plan.limits else ()
        again = {"value"} if self._plan.reset is None else {"value", "list"}
        return any(name in self._plan.extracted or self._plan.variables[name].kind not in again for name in per)

    def _held(self) -> set[str]:
        """[limits] per, and what only set-up requests and reads mention."""
        per = set(self._plan.limits.per) if self._plan.limits else set()
        around = set().union(*(request.names for _, request in self._plan.requests())) - self._plan.used
        return (per | around) & set(self._plan.variables)

    def _set_up(self, setup: Setup, held: Mapping[str, str]) -> dict[str, str]:
        response = self._session.ask(setup.request, self._filled(held, setup.request.names))
        _wanted_2xx(response, f"the set-up {setup.request}")
        return {name: extracted(response, pointer, setup.request) for name, pointer in setup.extract.items()}

    def _filled(self, held: Mapping[str, str], names: frozenset[str]) -> Draft:
        declared = names & set(self._plan.variables)
        return Draft(self._fresh.make(declared - set(held)) | dict(held))


def _wanted_2xx(response: Response, what: str) -> None:
    if not 200 <= response.status < 300:  # noqa: PLR2004  RFC 9110 section 15.3
        raise CannotTell(f"{what} was answered {response.status}: wanted 2xx")
