"""The prompt: what a model is told with one request, within the room that there is.

In: a briefing, the plan of the request, and how tokens are counted. Out: the messages, the same
for the same briefing and plan. `system.py` writes what stays, `sections.py` what the study knows;
here is decided what gives way when room is short, in the order of `SHRINK`: old lessons first, then
the length of every other part in turns, so that none is gone while another is at full length. The
contract, the task and the instruction that it serves are never cut; the code only where it is of
several files, by whole ones, and the research program after all else; both say so. What does not
fit then is an AgentError.

What changes least stands first, so that a provider that keeps the beginning of a prompt need not
read it again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from agent.briefing import Briefing
from agent.errors import AgentError
from agent.ledger import Message
from agent.llm import sections
from agent.llm.plan import Move, Plan, improve
from agent.llm.system import system_text
from agent.notebook import MOST as NOTEBOOK_CHARACTERS

FULL = {
    "notebook": NOTEBOOK_CHARACTERS,
    "lessons": 150,
    "best": 20,
    "latest": 30,
    "failures": 15,
    "pending": 60,
    "instructions": 20,
    "crash": 6_000,  # characters of the log
}
"""How much of each part is told where there is room: lines, or characters."""
MOST_CONDENSED = 400  # lessons, where the notebook is to be written anew from all of them

SHRINK = (
    *(("lessons", 100), ("pending", 30), ("latest", 15), ("lessons", 60), ("crash", 3_000)),
    *(("failures", 8), ("notebook", 4_000), ("best", 10), ("lessons", 25), ("latest", 6)),
    *(("instructions", 8), ("failures", 4), ("crash", 1_500), ("notebook", 2_000)),
    *(("pending", 12), ("best", 5), ("lessons", 8), ("latest", 0), ("instructions", 3)),
    *(("lessons", 0), ("notebook", 0), ("failures", 0), ("best", 0), ("pending", 4)),
    *(("instructions", 1), ("crash", 500)),
)
"""What gives way, in this order: the part, and how much of it is left."""

CODE_CUTS = (400_000, 200_000, 100_000, 60_000, 40_000, 25_000, 15_000, 8_000, 4_000, 2_000)
"""Characters of the code that are left, of several files: whole files, and a list of all."""
PROGRAM_CUTS = (8_000, 4_000, 2_000, 1_000)  # characters of the program that are left
MESSAGE_TOKENS, PRIMING_TOKENS = 4, 3  # what chat formats add to each message, and to all

NOTEBOOK_TASK = f"""\
Besides, write the study's notebook anew, between <notebook> and </notebook>: Markdown of at most \
{NOTEBOOK_CHARACTERS:,} characters, from the notebook and the lessons above. It will take their \
place, so what you leave out is forgotten. Keep, with numbers of experiments and sizes of effects: \
what was gained and why; what did not help, summed up by kind (what moved, which way, how often, \
the best it gave); which failures recur and their cause; what is not settled. State what was \
measured apart from what you suspect, and drop what later results have overtaken."""


@dataclass(frozen=True)
class Prompt:
    """What is sent to a model."""

    messages: tuple[Message, ...]
    tokens: int  # counted part by part, with what the chat format adds
    plan: Plan  # the plan that was carried out: a plainer one where room was short
    notebook: bool  # whether the answer is to bring a notebook
    shortened: tuple[str, ...] = ()  # the parts that had to give way


def write_prompt(
    briefing: Briefing, plan: Plan, *, count: Callable[[str], int], room: int
) -> Prompt:
    """The prompt of a request, in at most `room` tokens.

    Hand in an `agent.llm.counting.Counts`, so that parts are counted once. Raises AgentError where
    not even what must be told fits.
    """
    page = _Page(briefing, plan, count, room)
    if page.shrink() or page.cut_code() or page.cut_program():
        return page.prompt()
    if plan.move not in (Move.IMPROVE, Move.MEND, Move.REBASE, Move.INSTRUCTION):
        return write_prompt(briefing, improve(briefing), count=count, room=room)
    raise AgentError(
        f"the prompt needs {page.tokens:,} tokens at the least (the contract and the rules "
        f"{count(page.system):,}, the code {count(page.parts['code']):,}, the research program "
        f"{count(sections.program(briefing)):,}), and there is room for {room:,}: use a model with "
        "a larger context (agent.models), or shorten program.md or the code"
    )


class _Page:
    """A prompt that is being fitted."""

    def __init__(
        self, briefing: Briefing, plan: Plan, count: Callable[[str], int], room: int
    ) -> None:
        self._briefing, self._plan, self._count, self._room = briefing, plan, count, room
        self._levels = dict(FULL)
        self._ask_notebook = (
            briefing.condense
            and plan.move not in (Move.MEND, Move.REBASE)
            and len(briefing.lessons) <= MOST_CONDENSED
        )
        if self._ask_notebook:
            self._levels["lessons"] = MOST_CONDENSED
        self._counted: dict[str, int] = {}
        self._shortened: dict[str, None] = {}
        self.system = system_text(briefing)
        self.parts = {name: write() for name, write in self._writers().items()}
        self._tell_task()

    @property
    def tokens(self) -> int:
        """What the messages take, counted part by part."""
        texts = [f"{part}\n\n" for part in self.parts.values() if part]
        added = 2 * MESSAGE_TOKENS + PRIMING_TOKENS
        return added + sum(map(self._tokens_of, (self.system, *texts)))

    def shrink(self) -> bool:
        """Shorten the parts, one step after the other, until all fit; whether they do."""
        steps = iter(SHRINK)
        while not self._fits():
            name, level = next(steps, ("", 0))
            if not name:
                return False
            if name not in self.parts:
                continue
            self._levels[name] = level
            text = self._writers()[name]()
            if text != self.parts[name]:
                self.parts[name] = text
                self._shortened[name] = None
                # A notebook written without all lessons would forget those that are not shown.
                if name == "lessons" and self._ask_notebook:
                    self._ask_notebook = False
                    self._tell_task()
        return True

    def cut_code(self) -> bool:
        """Of several files, only those that there is room for, with a list of all; does it fit?

        With one file there is nothing to choose.
        """
        codes = self._plan.codes
        if all(len(code.files) < 2 for code in codes):
            return False
        for most in CODE_CUTS:
            if most < max(sum(map(len, code.files.values())) for code in codes):
                self.parts["code"] = self._code(most)
                self._shortened["code"] = None
                if self._fits():
                    return True
        return False

    def cut_program(self) -> bool:
        """The last resort: a part of the program, with a note; whether all fits then."""
        for most in PROGRAM_CUTS:
            if len(self._briefing.program) > most:
                self.parts["program"] = sections.program(self._briefing, most)
                self._shortened["program"] = None
                if self._fits():
                    return True
        return False

    def prompt(self) -> Prompt:
        messages = (Message("system", self.system), Message("user", self._user()))
        return Prompt(messages, self.tokens, self._plan, self._ask_notebook, tuple(self._shortened))

    def _fits(self) -> bool:
        """Whether it fits, counted part by part and, near the limit, as a whole.

        A token seldom spans two parts, but nothing forbids it.
        """
        tokens = self.tokens
        if tokens > self._room or tokens <= 0.95 * self._room:
            return tokens <= self._room
        added = 2 * MESSAGE_TOKENS + PRIMING_TOKENS
        whole = added + self._tokens_of(self.system) + self._tokens_of(self._user())
        return whole <= self._room

    def _user(self) -> str:
        return "\n\n".join(part for part in self.parts.values() if part) + "\n"

    def _tokens_of(self, text: str) -> int:
        if text not in self._counted:
            self._counted[text] = self._count(text)
        return self._counted[text]

    def _tell_task(self) -> None:
        besides = f"\n\n{NOTEBOOK_TASK}" if self._ask_notebook else ""
        self.parts["task"] = f"# Your task now\n\n{self._plan.task}{besides}"

    def _writers(self) -> dict[str, Callable[[], str]]:
        """The parts that the plan calls for, in the order of the prompt, without the task.

        To mend a crash neither history nor lessons are needed; the program and the instructions
        are, since they may forbid what would mend it.
        """
        briefing, plan, level = self._briefing, self._plan, self._levels
        told = partial(sections.instructions, briefing, level["instructions"], plan.instruction)
        start: dict[str, Callable[[], str]] = {
            "program": partial(sections.program, briefing),
            "setting": partial(sections.setting, briefing),
            "code": self._code,
        }
        if plan.move is Move.MEND:
            crash = partial(sections.crash, briefing, level["crash"])
            return {**start, "instructions": told, "crash": crash}
        if plan.move is Move.REBASE:
            clash = partial(sections.clash, briefing, level["crash"])
            return {**start, "instructions": told, "crash": clash}
        bounded = {
            "notebook": sections.notebook,
            "lessons": sections.lessons,
            "best": sections.best,
            "latest": sections.latest,
            "failures": sections.failures,
            "pending": sections.pending,
        }
        middle = {name: partial(write, briefing, level[name]) for name, write in bounded.items()}
        return {**start, **middle, "instructions": told}

    def _code(self, most: int | None = None) -> str:
        briefing, plan = self._briefing, self._plan
        champion = briefing.champion.experiment
        role = {
            Move.MEND: "The code that crashed",
            Move.BUILD: "The code to build on",
        }.get(plan.move, "The champion's code")
        whole = [
            sections.code(
                code,
                briefing,
                "The champion's code" if code.experiment == champion else role,
                most,
            )
            for code in plan.codes
        ]
        role = {
            Move.MEND: "What it had changed in its parent's code",
            Move.REBASE: "The change to carry over",
        }.get(plan.move, "The change to combine with it")
        changes = [sections.change(code, briefing, role) for code in plan.changes]
        return "\n\n".join((*whole, *changes))
