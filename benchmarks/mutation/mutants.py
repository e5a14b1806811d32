"""Mutants of one Python file: mutmut's operators and two of our own, each one changed place of the text."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

EXCHANGED = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum",
             "floor": "ceil", "ceil": "floor"}


@dataclass(frozen=True)
class Mutant:
    """One change of a file: characters `begin` to `end` of its text become `text`. `function` is the outermost function
    or method that they lie in (`Class.method`; empty at module or class level) and `body` its whole text. `old` and
    `new` are the first line that differs, for people."""

    file: str
    function: str
    line: int
    old: str
    new: str
    ordinal: int
    begin: int
    end: int
    text: str
    body: str

    @property
    def key(self) -> str:
        """The same for as long as the text of the function and the change are the same, wherever both stand."""
        parts = (self.file, self.function, self.body, self.old, self.new, str(self.ordinal))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]

    def applied(self, source: str) -> str:
        """The text of the file with the change in it."""
        return source[:self.begin] + self.text + source[self.end:]

    def valid(self, source: str) -> bool:
        """Whether the changed text parses, and as something else than the text before."""
        try:
            return ast.dump(ast.parse(self.applied(source))) != ast.dump(ast.parse(source))
        except (SyntaxError, ValueError):
            return False


def exchanged(node: cst.Name) -> Iterable[cst.Name]:
    """min for max, any for all, floor for ceil."""
    if node.value in EXCHANGED:
        yield node.with_changes(value=EXCHANGED[node.value])


def guard_dropped(node: cst.If) -> Iterable[cst.If]:
    """An `if` that never holds."""
    yield node.with_changes(test=cst.Name("False"))


OPERATORS: tuple[tuple[type, Callable[..., Iterable[cst.CSTNode]]], ...] = (
    *mutation_operators, (cst.Name, exchanged), (cst.If, guard_dropped))


def mutants(file: str, source: str) -> list[Mutant]:
    """Every mutant of `source`, in the order of its text; a few of them may not be `valid`."""
    module = cst.parse_module(source)
    wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
    finder = _Finder(module, wrapper.resolve(PositionProvider))
    module.visit(finder)
    lines = source.splitlines(keepends=True)
    starts = [0]
    for text in lines:
        starts.append(starts[-1] + len(text))
    found: list[Mutant] = []
    ordinals: dict[tuple[str, str, str], int] = {}
    for function, body, span, text in finder.found:
        begin = starts[span.start.line - 1] + span.start.column
        end = starts[span.end.line - 1] + span.end.column
        before = "".join(lines[span.start.line - 1:span.end.line])
        offset = starts[span.start.line - 1]
        after = before[:begin - offset] + text + before[end - offset:]
        skipped, old, new = _first_difference(before, after)
        ordinal = ordinals[function, old, new] = ordinals.get((function, old, new), -1) + 1
        found.append(Mutant(file, function, span.start.line + skipped, old, new, ordinal, begin, end, text, body))
    return found


def bodies(source: str) -> dict[str, tuple[int, int]]:
    """First and last line of the body of every outermost function or method, by `Class.method`: the lines that run
    when it is called, not when its module is imported."""
    found: dict[str, tuple[int, int]] = {}

    def walk(nodes: Sequence[ast.stmt], prefix: str) -> None:
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[prefix + node.name] = node.body[0].lineno, node.end_lineno or node.lineno
            elif isinstance(node, ast.ClassDef):
                walk(node.body, f"{prefix}{node.name}.")

    walk(ast.parse(source).body, "")
    return found


def _first_difference(before: str, after: str) -> tuple[int, str, str]:
    """(lines before it, old, new) of the first line that differs, blanks at its ends gone."""
    old, new = before.splitlines(), after.splitlines()
    for number, (a, b) in enumerate(zip(old, new, strict=False)):
        if a != b:
            return number, a.strip(), b.strip()
    return 0, old[0].strip(), new[0].strip() if new else ""


class _Finder(cst.CSTVisitor):
    """Walks a module and keeps (function, its text, span, new text) of every change that an operator offers."""

    def __init__(self, module: cst.Module, positions) -> None:
        super().__init__()
        self.module, self.positions = module, positions
        self.names: list[str] = []
        self.outermost: tuple[str, str] = ("", "")
        self.depth = self.wording = 0
        self.kept: list[cst.Arg] = []
        self.found: list[tuple[str, str, cst.metadata.CodeRange, str]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if _left_alone(node) or (isinstance(node, cst.FormattedString) and self.wording):
            return False
        if isinstance(node, cst.Arg) and any(node is kept for kept in self.kept):
            return False
        if isinstance(node, cst.Call):
            self.kept += _kept(node)
        if isinstance(node, cst.ClassDef):
            self.names.append(node.name.value)
        if isinstance(node, cst.FunctionDef):
            if self.depth == 0:
                text = self.module.code_for_node(node.with_changes(leading_lines=[]))
                self.outermost = ".".join([*self.names, node.name.value]), text
            self.depth += 1
        self.wording += _is_wording(node)
        for text in self._changes(node):
            self.found.append((*self.outermost, self.positions[node], text))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        self.wording -= _is_wording(original_node)
        if isinstance(original_node, cst.ClassDef):
            self.names.pop()
        if isinstance(original_node, cst.FunctionDef):
            self.depth -= 1
            if self.depth == 0:
                self.outermost = "", ""

    def _changes(self, node: cst.CSTNode) -> Iterator[str]:
        if isinstance(node, cst.SimpleString) and (self.wording or node.value.count(" ") > 1):
            return  # a sentence, for people
        seen = set()
        for kind, operator in OPERATORS:
            for changed in operator(node) if isinstance(node, kind) else ():
                if isinstance(node, cst.Call) and _loses_kept(node, changed):
                    continue
                if type(changed) is type(node) and hasattr(node, "lpar"):
                    changed = changed.with_changes(lpar=[], rpar=[])  # the span of a node is without its brackets
                text = self._code(changed)
                if text not in seen:
                    seen.add(text)
                    yield text

    def _code(self, node: cst.CSTNode) -> str:
        if isinstance(node, cst.If):
            # The span of a compound statement starts behind its indentation, and so must its text.
            return self.module.code_for_node(node.with_changes(leading_lines=[])).lstrip().rstrip("\n")
        return self.module.code_for_node(node)


def _left_alone(node: cst.CSTNode) -> bool:
    """What no test should have to see: types, imports, decorators, assertions, docstrings and `__all__`."""
    if isinstance(node, cst.Annotation | cst.Import | cst.ImportFrom | cst.Decorator | cst.Assert):
        return True
    if isinstance(node, cst.If) and isinstance(node.test, cst.Name) and node.test.value == "TYPE_CHECKING":
        return True
    if isinstance(node, cst.Expr) and isinstance(node.value, cst.SimpleString | cst.ConcatenatedString):
        return True
    return isinstance(node, cst.Assign) and any(isinstance(t.target, cst.Name) and t.target.value == "__all__"
                                                for t in node.targets)


def _kept(node: cst.Call) -> list[cst.Arg]:
    """Arguments of a call without which, or with another one in their place, it does the same: zip's `strict` where
    lengths are equal, numpy's `copy`, the -1 of a reshape, and int64 where numpy would take it for whole numbers."""
    name = node.func.attr.value if isinstance(node.func, cst.Attribute) else getattr(node.func, "value", "")
    found = []
    for arg in node.args:
        text = cst.Module([]).code_for_node(arg.value)
        if ((arg.keyword is not None and arg.keyword.value in ("strict", "copy"))
                or (name == "reshape" and text == "-1")
                or (name in ("array", "full", "arange", "zeros") and text == "np.int64")):
            found.append(arg)
    return found


def _loses_kept(node: cst.Call, changed: cst.CSTNode) -> bool:
    return isinstance(changed, cst.Call) and any(all(kept is not arg for arg in changed.args) for kept in _kept(node))


def _is_wording(node: cst.CSTNode) -> bool:
    """A `raise`, or a call that makes its error: the words inside are for people, and may change."""
    if isinstance(node, cst.Call):
        name = node.func.attr.value if isinstance(node.func, cst.Attribute) else getattr(node.func, "value", "")
        return name == "fail" or str(name).endswith("Error")
    return isinstance(node, cst.Raise)
