"""The stages, one after the other."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..resume.stop import RESUME_ME
from .cost import Price, duration
from .fingerprint import result_of
from .log import Log
from .notes import LOSE_CONTAINER, LOSE_VOLUME, SAFE, Notes
from .plan import Plan, commands
from .process import Stopper, run
from .request import Request
from .stages import check_trained, is_done, merged, newest_step, refuse_other_training, sources, trained
from .state import State


class Failed(Exception):
    """A stage failed; the reason stands in the log.

    Attributes:
        stage: which one.
        code: the exit code of the job.
        next: what to do.
    """

    def __init__(self, stage: str, code: int, next: str) -> None:
        super().__init__(stage)
        self.stage, self.code, self.next = stage, code, next


@dataclass
class Job:
    """Everything that the stages use.

    Attributes:
        worked: whether any stage ran, or all were done before.
    """

    plan: Plan
    request: Request
    state: State
    log: Log
    environment: dict[str, str]
    price: Price
    stopper: Stopper
    notes: Notes
    worked: bool = False
    _told: str = ""

    def work(self, loses: dict[str, str]) -> None:
        """Run what is not done yet.

        Args:
            loses: note -> sentence, for what the pod's end would lose from the training on.

        Raises:
            Failed: a stage did not end well.
            UserError: the output folder belongs to another training.
        """
        found = sources(self.plan, self.request, self.state)
        accept = self.request.accept_changes
        for line in refuse_other_training(self.plan, self.state, found["train"], accept=accept):
            self.log.say(f"warning: {line}")
        lines = commands(self.plan, self.request, self._card_recipe())
        if result_of(self.plan.output) or newest_step(self.plan.output):
            self._warn_of_loss(loses)
        for name, command in lines.items():
            source = sources(self.plan, self.request, self.state)[name]
            folder = {"train": self.plan.output, "merge": self.plan.merged}.get(name)
            if is_done(name, self.state, source, folder):
                self.log.say("done before; skipped", name)
            elif self._adopt(name, source, accept=accept):
                self.log.say("its end was not noted, and its result is complete; skipped", name)
            else:
                if name == "train":
                    self._warn_of_loss(loses)
                self._run(name, command, source)
        if self.request.publish:
            self.notes.clear(LOSE_CONTAINER)
            self.notes.clear(LOSE_VOLUME)
            self.notes.set(SAFE, f"published as {self.request.publish}")

    def _warn_of_loss(self, loses: dict[str, str]) -> None:
        for note, text in loses.items():
            self.notes.set(note, text)

    def _card_recipe(self) -> Path:
        """The recipe as it is run, for the model card: the file itself when nothing was changed that matters there."""
        recipe = self.plan.recipe
        if not self.request.train_overrides:
            return recipe.path
        import yaml

        path = self.plan.folder / recipe.path.name
        head = f"# {recipe.path.name}, with the changes of the command line.\n"
        text = yaml.safe_dump(recipe.values, allow_unicode=True, sort_keys=False, width=110)
        path.write_text(head + text, encoding="utf-8")
        return path

    def _adopt(self, name: str, source: dict[str, str], *, accept: bool) -> bool:
        stage = self.state[name]
        begun = stage.attempts and stage.source == source and not stage.finished
        if name == "train" and (begun or accept) and trained(self.plan):
            self.state.finish(name, source, result_of(self.plan.output))
            return True
        if name == "merge" and begun and merged(self.plan, stage):
            assert self.plan.merged is not None
            self.state.finish(name, source, result_of(self.plan.merged))
            return True
        return False

    def _run(self, name: str, command: list[str], source: dict[str, str]) -> None:
        stage = self.state[name]
        if name == "merge" and self.plan.merged and stage.result and result_of(self.plan.merged) == stage.result:
            command = [*command, "--overwrite"]  # an earlier result of this job, of another adapter
        while True:
            before, step = stage.seconds, newest_step(self.plan.output)
            self.state.begin(name, source)
            self.worked = True
            self.log.say(f"starts (attempt {stage.attempts}): {shlex.join(command)}", name)
            code = run(command, self.environment, self.log, self.stopper, lambda spent: self._tick(name, spent))
            took = stage.seconds - before
            if self.stopper.asked:
                break
            if name != "train" or code != RESUME_ME or newest_step(self.plan.output) <= step:
                break
            self.log.say("it was asked to stop and saved (exit code 75), and this job was not: it goes on", name)
        spent = f"{duration(took)}, {self.price.of(took)}"
        if self.stopper.asked and code:
            self.log.say(f"stopped after {spent}", name)
            raise Failed(name, RESUME_ME, "run the same command again: it goes on where it stopped")
        if code:
            self.log.say(f"failed with exit code {code} after {spent}", name)
            folders = [self.plan.output, *([self.plan.merged] if self.plan.merged else [])]
            if name == "train" and not (any(map(result_of, folders)) or newest_step(self.plan.output)):
                self.notes.clear(LOSE_CONTAINER)  # nothing was saved, so a stop of the pod loses nothing
                self.notes.clear(LOSE_VOLUME)
            self._explain(name, code)
        if name == "train":
            try:
                result = check_trained(self.plan)
            except UserError as error:
                self.log.say(f"error: {error}", name)
                raise Failed(name, 1, error.hint or "") from None
        else:
            result = result_of(self.plan.merged) if name == "merge" and self.plan.merged else {}
        self.state.finish(name, source, result)
        self.log.say(f"done in {spent}", name)
        if self.stopper.asked:
            raise Failed(name, RESUME_ME, "run the same command again: it goes on with the next stage")

    def _explain(self, name: str, code: int) -> None:
        again = "and run the same command again: it goes on from the last whole checkpoint"
        fixes = {
            "check": "correct what stands above, and run the same command again",
            "train": f"read the reason above, correct it {again}",
            "merge": "correct what stands above, and run the same command again: the training is not repeated",
            "publish": "correct what stands above, and run the same command again: what is there is not sent again",
        }
        if name == "train" and code == RESUME_ME:
            raise Failed(name, RESUME_ME, "it saved nothing new; run the same command again")
        if name == "train" and code in (-9, 137):
            self.log.say("killed (SIGKILL): most often the machine's memory was full", name)
        raise Failed(name, 1, fixes[name])

    def _tick(self, name: str, spent: float) -> None:
        self.state[name].spend(spent, self.price.dollars)
        try:
            self.state.write()
        except UserError as error:
            if self._told != str(error):
                self._told = str(error)
                self.log.say(f"warning: {error}", name)
