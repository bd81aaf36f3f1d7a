"""The oracles of one scan: opened before its first request, closed after its last."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tocsin.scan._errors import CannotTell
from tocsin.scan._plan import Answers, Plan, RequestTemplate, Source
from tocsin.scan._session import Session
from tocsin.scan._stage import Stage
from tocsin.scan.oracles import OPENERS, Reader


def open_oracles(plan: Plan, folder: Path, closing: ExitStack) -> Mapping[Source, Reader]:
    """What reads each state that is not asked of the service. Raises CannotTell if one cannot be opened.

    Args:
        plan: authorised, hence allowed to have them.
        folder: of the plan, which file names are relative to.
        closing: closes them again.
    """
    sources = {state.source for state in plan.all_states()}
    return {
        source: OPENERS[type(source)](source, folder, closing)
        for source in sources
        if not isinstance(source, (RequestTemplate, Answers))
    }


def learn_answers(session: Session, stage: Stage) -> None:
    """Where answers are the oracle: how two new requests are answered, and a duplicate. Raises CannotTell."""
    if not any(isinstance(state.source, Answers) for state in session.plan.all_states()):
        return
    if session.plan.captured is not None:
        raise CannotTell("the answers: to learn what a duplicate is answered takes two messages; one was captured")
    scene = stage.scene(need=2)
    one, other = (session.shot(stage.draft(scene)) for _ in range(2))
    responses = [session.send(shot) for shot in (one, other, one)]
    session.assume(len(responses))
    first, second, duplicate = responses
    session.answers.learn(first, second, duplicate, asked=one.raw)
