"""Reads a model's answer: the proposals in it, and the notebook where it was written anew.

In: the text as it came, and the names of the files that may be edited. Out: drafts with their edits
as stated, and problems, worded for the model that wrote the answer. Strict on meaning, tolerant of
manners: fences, headings, emphasis, stray prose, thinking, missing tags, diffs and JSON are all
read; but where two readings differ, none is chosen. Nothing is applied here, no file's text is
known; `edits` does that. Never raises, and takes linear time.
"""

import re
from collections.abc import Collection

from agent.llm.blocks import joined, read_block
from agent.llm.diffs import begins_diff, read_diff
from agent.llm.draft import Draft, Parsed, Replace, Whole
from agent.llm.drafting import Drafting
from agent.llm.fields import read_field, read_heading
from agent.llm.jsonish import read_json
from agent.llm.layout import Layout
from agent.llm.marks import Fence, fence_of, is_tag, proposal_tag, search_mark
from agent.llm.paths import SUFFIX, named_by, plain, resolve
from agent.llm.thinking import without_thinking

MOST_PROPOSALS = 32  # of one answer
MOST_BEGUN = 200  # proposals, the unusable ones included; what follows is not read
MOST_PROBLEMS = 20
DIFFS = ("diff", "patch", "udiff")
NO_CODE = ("bash", "sh", "shell", "console", "text", "txt", "output", "log", "plaintext")
FORMAT = (
    "Write each proposal between <proposal> and </proposal>, with title:, hypothesis:, expected:, "
    "and SEARCH/REPLACE blocks under the file's name"
)
BEFORE = re.compile(
    r"^\W{0,6}(?:search|original|old|before|find|current|replace this)"
    r"(?:\s(?:code|block|text|version|lines?))?\W{0,6}$",
    re.IGNORECASE,
)
AFTER = re.compile(
    r"^\W{0,6}(?:replace(?:ment)?|updated|new|after|with|replace with|changed to|becomes)"
    r"(?:\s(?:code|block|text|version|lines?))?\W{0,6}$",
    re.IGNORECASE,
)


def parse_answer(text: str, paths: Collection[str], *, truncated: bool = False) -> Parsed:
    """Take an answer apart. `truncated`: it is known that the answer was cut off.

    Then its last proposal counts only if it was brought to its closing tag.
    """
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    text, in_thought = without_thinking(text)
    if (found := read_json(_unfenced(text), paths)) is not None:
        return found
    reader = _Reader(_lines(text), paths, truncated or in_thought)
    reader.read()
    problems = reader.problems[:MOST_PROBLEMS]
    if in_thought:
        problems.append(
            "The answer ends within its thinking, which has no closing tag; what stands there was "
            "not read. Give the proposals after the thinking."
        )
    if not (reader.drafts or problems or reader.notebook):
        problems.append(
            f"The answer is empty. {FORMAT}."
            if not text.strip()
            else f"No proposal was found in the answer. {FORMAT}."
        )
    return Parsed(tuple(reader.drafts), reader.notebook, tuple(problems))


def _unfenced(text: str) -> str:
    """A text without the one fence around all of it."""
    text = text.strip()
    first, _, rest = text.partition("\n")
    body, _, last = rest.rpartition("\n")
    opening, closing = fence_of(first), fence_of(last)
    return body.strip() if opening and closing and closing.closes(opening) else text


def _lines(text: str) -> list[str]:
    """The lines of an answer, with each tag on a line of its own."""
    lines: list[str] = []
    for line in text.split("\n"):
        bare = line.strip()
        head = bare[:100].lower()
        if head.startswith(("<proposal>", "<proposal ", "<notebook>")) and ">" in head:
            tag, _, bare = bare.partition(">")
            lines.append(f"{tag}>")
            line = bare.lstrip()  # noqa: PLW2901 - the rest of it
            if not line:
                continue
        tail = line[-24:].rstrip().lower()
        if tail.endswith(("</proposal>", "</notebook>")) and not line.lstrip().startswith("</"):
            body, _, tag = line.rpartition("</")
            lines += [body.rstrip(), f"</{tag.strip()}"]
        else:
            lines.append(line)
    return lines


class _Reader:
    """Goes through the lines of an answer once."""

    def __init__(self, lines: list[str], paths: Collection[str], truncated: bool) -> None:
        self.lines = lines
        self.paths = paths
        self.truncated = truncated
        self.layout = Layout(lines)
        self.drafts: list[Draft] = []
        self.problems: list[str] = []
        self.notebook = ""
        self._notebooks = 0
        self._count = 0
        self._draft: Drafting | None = None
        self._path = ""  # the file that was named last
        self._fresh = False  # and it has not been used since
        self._prose = ""  # the last line of prose
        self._before: list[str] | None = None  # a code block under "Before:"
        self._fence = ""  # the language of the fence around

    def read(self) -> None:
        """Read it all."""
        index = 0
        while index < len(self.lines) and self._count <= MOST_BEGUN:
            index = self._step(index)
        if index < len(self.lines) and len(self.drafts) < MOST_PROPOSALS:
            self._complain(f"The answer was read up to its proposal {MOST_BEGUN} only.")
        if self._draft is not None:
            if not self._draft.closed and (what := self._cut_short()):
                self._draft.fail(f"{what}; give it again, whole")
            self._finish()

    def _step(self, index: int) -> int:
        """Read what stands at a line; return the first line behind it."""
        line = self.lines[index]
        if search_mark(line):
            return self._block(index)
        if fence := fence_of(line):
            return self._fenced(index, fence)
        if tag := proposal_tag(line):
            self._tag(tag)
        elif is_tag(line, "notebook"):
            return self._read_notebook(index)
        elif begins_diff(line) and (self._draft or not self.layout.tagged):
            return self._bare_diff(index)
        else:
            self._words(line)
        return index + 1

    def _tag(self, tag: str) -> None:
        if tag == "open":
            self._begin(tagged=True)
        elif self._draft is not None:
            self._draft.closed = True
            self._draft.open_field = ""

    def _begin(self, *, tagged: bool, heading: str = "") -> Drafting:
        self._finish()
        self._count += 1
        self._path, self._fresh, self._before = "", False, None
        self._draft = Drafting(self._count, tagged, heading)
        return self._draft

    def _finish(self) -> None:
        """Close the books on the proposal at hand."""
        draft, self._draft = self._draft, None
        if draft is None:
            return
        if self._before is not None and not draft.edits:
            draft.fail("a code block under SEARCH has no counterpart under REPLACE")
        started = draft.tagged or draft.edits or draft.problems or draft.fields
        if not started:
            self._count -= 1
            return
        if len(self.drafts) == MOST_PROPOSALS:
            self._complain(f"Only the first {MOST_PROPOSALS} proposals of the answer were read.")
            return
        done = draft.finish(self.paths)
        if isinstance(done, Draft):
            self.drafts.append(done)
        else:
            self._complain(done)

    def _complain(self, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS and problem not in self.problems:
            self.problems.append(problem)

    def _cut_short(self) -> str:
        """Why the last proposal, which has no closing tag, is taken as cut off; or ""."""
        last = next((line.strip() for line in reversed(self.lines) if line.strip()), "")
        fence = fence_of(last)
        half = last.startswith("<") and not "</proposal>".startswith(last.lower())
        if self.truncated and not "</proposal>".startswith(last.lower()):
            return "the answer was cut off within it"
        if self._draft and not self._draft.edits:
            return (
                "" if self._draft.problems or self._draft.unnamed else "the answer ends within it"
            )
        if self._fresh or half or (fence and fence.info):
            return f"the answer ends within it, with the line {last[:80]!r}"
        return ""

    def _words(self, line: str) -> None:
        """A line of prose, of a field, of a heading, or with a file's name."""
        draft = self._draft
        if not line.strip():
            if draft:
                draft.carry_on("")
            return
        self._prose = line
        heading = read_heading(line)
        if heading is not None:
            if draft is None or not draft.tagged:
                if not self.layout.tagged:
                    self._begin(tagged=False, heading=heading)
            elif not draft.closed:
                draft.heading = draft.heading or heading
            return
        if draft is None and self.layout.tagged:
            return
        if (found := read_field(line)) and not (draft and draft.closed):
            name, text = found
            again = draft is not None and draft.begins_anew(name)
            if draft is None or again:
                draft = self._begin(tagged=draft is not None and draft.tagged)
            draft.set_field(name, text)
        elif name := named_by(line, self.paths):
            self._path, self._fresh = name, True
            if draft:
                draft.open_field = ""
        elif draft and not draft.closed:
            draft.carry_on(line)

    def _target(self) -> Drafting | None:
        """The proposal that an edit found here belongs to; None where there is none."""
        draft = self._draft
        if draft is None and not self.layout.tagged:
            return self._begin_here()
        if draft is not None and not (draft.closed and (draft.edits or draft.problems)):
            return draft
        self._complain(
            "An edit outside of <proposal> and </proposal> was not used: it is not clear which "
            "proposal it belongs to."
        )
        return None

    def _begin_here(self) -> Drafting:
        """A proposal without a beginning, which keeps the file that was just named."""
        path, fresh = self._path, self._fresh
        draft = self._begin(tagged=False)
        self._path, self._fresh = path, fresh
        return draft

    def _block(self, index: int) -> int:
        block = read_block(self.lines, index, self.paths, self._fence)
        draft = self._target()
        if draft is None:
            return block.end
        number = len(draft.edits) + 1
        if block.path:
            self._path = block.path
        path = self._path or self._only()
        self._fresh = False
        if block.problem:
            cut = " (the answer was cut off there)" if block.cut else ""
            draft.fail(f"its SEARCH/REPLACE block {number} can't be read: {block.problem}{cut}")
        elif not path:
            draft.fail(
                f"its SEARCH/REPLACE block {number} names no file; write the name on the line "
                f"before it, one of {', '.join(sorted(self.paths)[:8])}"
            )
        else:
            draft.add(Replace(path, block.search, block.replace))
        return block.end

    def _only(self) -> str:
        return next(iter(self.paths)) if len(self.paths) == 1 else ""

    def _fenced(self, index: int, fence: Fence) -> int:
        """A fence: of a file, a diff, a passage, a snippet; or around what counts by itself."""
        layout = self.layout
        if index in layout.closing:
            self._fence = ""
            return index + 1
        words = re.split(r"[\s:={}\"',]+", fence.info)
        named = next((path for word in words if (path := _file(word, self.paths))), "")
        end, hard = layout.close_of.get(index), layout.next_hard(index)
        language = words[0].lower()
        if end is None:
            return self._unclosed(index, named, layout.next_tag(index), hard)
        if (hard is not None and hard < end) or self._wraps(index, end):
            self._fence = language
            if named:
                self._path, self._fresh = named, True
            return index + 1
        code = self.lines[index + 1 : end]
        if self._draft is None and layout.tagged:
            return end + 1
        self._code(code, named, language, fence)
        self._fresh, self._prose = False, ""
        if self._draft:
            self._draft.open_field = ""
        return end + 1

    def _wraps(self, index: int, end: int) -> bool:
        """Whether a fence stands around a proposal without tags."""
        first = next(
            (line for line in self.lines[index + 1 : min(end, index + 9)] if line.strip()), ""
        )
        return read_field(first) is not None or read_heading(first) is not None

    def _unclosed(self, index: int, named: str, tag: int | None, hard: int | None) -> int:
        """A fence without an end: a file that was cut off, or a stray line."""
        stop = len(self.lines) if tag is None else tag
        around = (hard is not None and hard < stop) or self._wraps(index, stop)
        if around or not (named or self._fresh) or not self._target():
            return index + 1
        if not any(line.strip() for line in self.lines[index + 1 : stop]) and tag is not None:
            return index + 1
        where = "the end of the answer" if tag is None else f"the line {self.lines[tag].strip()!r}"
        assert self._draft is not None
        self._draft.fail(
            f"its code block with {named or self._path} has no closing fence before {where}"
        )
        self._fresh = False
        return stop

    def _code(self, code: list[str], named: str, language: str, fence: Fence) -> None:
        """A closed code block, which may be an edit."""
        first = next((line for line in code if line.strip()), "")
        label = self._prose
        if language in DIFFS or begins_diff(first) or first.startswith(("@@", "--- ")):
            self._diff(code)
        elif BEFORE.match(label[:60]) and named == "":
            self._before = code
        elif AFTER.match(label[:60]) and self._before is not None:
            self._exchange(self._before, code)
        elif named or self._fresh or (named := named_by(first, self.paths)):
            inside = not self._fresh and named_by(first, self.paths) == named
            if inside and not first.lstrip().startswith("#"):
                code = code[code.index(first) + 1 :]
            self._whole(named or self._path, code)
        elif self._draft is not None and not self._draft.closed and language not in NO_CODE:
            draft = self._draft
            if not fence.info and draft.edits and isinstance(draft.edits[-1], Whole):
                draft.fail(
                    f"it is not clear where the code block with {draft.edits[-1].path} ends; put "
                    "the file between lines of four backticks"
                )
            draft.unnamed.append(code)

    def _whole(self, path: str, code: list[str]) -> None:
        if draft := self._target():
            if any(isinstance(edit, Whole) and edit.path == path for edit in draft.edits):
                draft.fail(f"it gives the whole file {path} twice")
            draft.add(Whole(path, joined(code)))

    def _exchange(self, before: list[str], after: list[str]) -> None:
        """Two code blocks, under "Before:" and "After:"."""
        self._before = None
        path = self._path or self._only()
        if draft := self._target():
            if path:
                draft.add(Replace(path, joined(before), joined(after)))
            else:
                draft.fail("the code block under SEARCH names no file")

    def _diff(self, code: list[str]) -> None:
        if draft := self._target():
            edits, problem = read_diff(code, self._path or self._only(), self.paths)
            if not problem and any(not edit.path for edit in edits):
                problem = "its diff names no file; give it the lines '--- a/FILE' and '+++ b/FILE'"
            if problem:
                draft.fail(problem)
            for edit in edits:
                draft.add(edit)

    def _bare_diff(self, index: int) -> int:
        """A diff without a fence around: up to a tag, a fence, or the end of the patch."""
        end = index
        while end < len(self.lines):
            line = self.lines[end]
            if proposal_tag(line) or is_tag(line, "notebook") or fence_of(line):
                break
            end += 1
            if line.startswith("*** End Patch"):
                break
        self._diff(self.lines[index:end])
        return end

    def _read_notebook(self, index: int) -> int:
        end = self.layout.notebook_end(index)
        tag = self.layout.next_tag(index)
        if self._draft is not None and self._draft.tagged:
            self._draft.closed = True
        if end is None or tag != end:
            self._complain(
                "The notebook was not used: it has no closing </notebook>, so that it may have "
                "been cut off."
            )
            return len(self.lines) if tag is None else tag
        self._notebooks += 1
        self.notebook = _unfenced("\n".join(self.lines[index + 1 : end]))
        if self._notebooks > 1:
            self.notebook = ""
            self._complain("No notebook was used, for the answer has several; give one.")
        return end + 1


def _file(word: str, paths: Collection[str]) -> str:
    """The file that a word behind a fence names, if it names one."""
    if (found := resolve(word, paths)) is not None:
        return found
    name = plain(word)
    return name if SUFFIX.search(name) else ""
