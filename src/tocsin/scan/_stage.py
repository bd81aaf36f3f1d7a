"""Where a trial plays: fresh resources, and requests on them.

Rule: no trial depends on what another one left. A resource is made anew (a set-up request, a fresh variable) or brought
back (the reset), and when neither is possible and its limit is used up, no verdict is made of its refusals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tocsin.scan._compose import Draft
from tocsin.scan._errors import CannotTell
from tocsin.scan._fresh import FreshValues
from tocsin.scan._oracle import extracted
from tocsin.scan._plan import Plan, Setup
from tocsin.scan._session import Session
from tocsin.scan._trial import Trial
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
        self._set_up_so_far: list[Mapping[str, str]] = []
        # What checks share: whether a resource admits two effects, and the last control, with when that was.
        self.has_room = False
        self.controlled: tuple[float, Trial] | None = None

    @property
    def is_apart(self) -> bool:
        """Whether every scene has resources of its own, to be read while another scene's effects still arrive."""
        fresh = self._plan.extracted.union(name for name, known in self._plan.variables.items() if known.fresh)
        shared = any(state.names.isdisjoint(fresh) for state in self._plan.state)
        return not shared and self.lasts

    @property
    def lasts(self) -> bool:
        """Whether a resource admits later what it admits now: no other scene uses it up."""
        return self._plan.limits is None or self._renewed()

    def scene(self, *, need: int = 1) -> Scene:
        """A scene on which `need` effects are possible. Raises CannotTell if there is none to be had."""
        capacity = self._capacity(need)
        held = self._fresh.make(self._held() - self._plan.extracted)
        if self._plan.teardown:
            self._set_up_so_far.append(held)
            self._session.owed += len(self._plan.teardown)
        for setup in self._plan.setup:
            # In place: what is torn down later is named by all that was set up, however far that came.
            held |= self._set_up(setup, held)
        self._count_on(held)
        return Scene(held, capacity)

    def draft(self, scene: Scene) -> Draft:
        """A distinct request on this scene: every fresh variable anew, but for those held."""
        return self._filled(scene.held, self._plan.drawn)

    def drafts(self, scene: Scene, count: int) -> list[Draft]:
        """Distinct requests on this scene, of which the plan's senders make one in turn."""
        senders = 1 + len(self._plan.actors)
        return [replace(self.draft(scene), sender=place % senders) for place in range(count)]

    def tear_down(self) -> None:
        """Undo what set-ups have made, the last one first. Raises CannotTell, BudgetEnded, ServiceGone."""
        while self._set_up_so_far:
            held = self._set_up_so_far[-1]
            for request in self._plan.teardown:
                # What was never made has no name.
                if not request.names & (self._plan.extracted - set(held)):
                    response = self._session.ask(request, self._filled(held, request.names))
                    _wanted_2xx(response, f"the teardown {request}")
                self._session.owed -= 1
            self._set_up_so_far.pop()

    @property
    def standing(self) -> int:
        """How many trials have set up what was not undone."""
        return len(self._set_up_so_far)

    def reset(self) -> None:
        """Bring the state back, where the plan says how, and wait until that shows."""
        self.bring_back()
        if self._plan.reset is not None:
            self._session.settle()

    def bring_back(self) -> None:
        """The same for the last time: nothing is read any more."""
        reset = self._plan.reset
        if reset is not None:
            _wanted_2xx(self._session.ask(reset, self._filled({}, reset.names)), f"the reset {reset}")
            self._effects_at_reset = self._used_ever()

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
        mixed = frozenset[str]().union(*(mixed.request.names for mixed in self._plan.mix))
        requests = (request.names for _, request in self._plan.requests())
        around = set().union(*requests, *(state.names for state in self._plan.all_states())) - self._plan.used - mixed
        return (per | around) & set(self._plan.variables)

    def _set_up(self, setup: Setup, held: Mapping[str, str]) -> dict[str, str]:
        response = self._session.ask(setup.request, self._filled(held, setup.request.names))
        _wanted_2xx(response, f"the set-up {setup.request}")
        return {name: extracted(response, pointer, setup.request) for name, pointer in setup.extract.items()}

    def _count_on(self, held: Mapping[str, str]) -> None:
        """Let a counter that starts at "applied+1" start there."""
        rule = self._plan.sequence
        if rule is not None and self._plan.variables[rule.variable].after_applied:
            applied = self._session.look(rule.applied, self._filled(held, rule.applied.names))
            self._fresh.count_on(rule.variable, int(applied) + 1)

    def _filled(self, held: Mapping[str, str], names: frozenset[str]) -> Draft:
        declared = names & set(self._plan.variables)
        return Draft(self._fresh.make(declared - set(held)) | dict(held))


def _wanted_2xx(response: Response, what: str) -> None:
    if not 200 <= response.status < 300:  # noqa: PLR2004  RFC 9110 section 15.3
        raise CannotTell(f"{what} was answered {response.status}: wanted 2xx")
