"""
The messages that an operator can see, as they stand in the sources: templates with … for what is filled in.

    python -m tests.messages            prints the templates that docs/messages.md lacks, and those that are no more

A text that is built elsewhere, such as the words of an exception passed on, has no template here: it is one of another
place, where it is collected.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.tools import ROOT

SOURCES = ROOT / "ftpsd"
PAGE = ROOT / "docs" / "messages.md"
FILLED = "…"
# Fields of a log line, `{name}` or `{name!r:.3}`.
_FIELD = re.compile(r"\{[^{}]*\}")
_ROW = re.compile(r"^\| (`+) ?(.+?) ?\1 \|", re.MULTILINE)
LOGGERS = {"log", "_log"}
LOGGED = {"info", "warn", "error", "critical", "failure"}


def of_log(tree: ast.Module, call: ast.AST) -> Iterator[str]:
    """Return the templates of a line of the daemon's own log."""
    if not isinstance(call, ast.Call):
        return
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr not in LOGGED or not call.args:
        return
    holder = function.value
    name = holder.id if isinstance(holder, ast.Name) else holder.attr if isinstance(holder, ast.Attribute) else ""
    if name in LOGGERS:
        for text in texts(tree, call, call.args[0]):
            yield _FIELD.sub(FILLED, text)


def of_replies(tree: ast.Module, node: ast.AST) -> Iterator[str]:
    """Return the templates of a reply that refuses something: the code, and the text."""
    match node:
        case ast.Call(func=function, args=[code, text, *_]) if _called(function) in ("Reply", "ReplyError"):
            for number in _codes(code):
                yield from (f"{number} {each}" for each in texts(tree, node, text))
        case ast.Call(func=ast.Attribute(attr="end" | "end_behind_command"), args=[_, text, *_]):
            yield from (f"421 {each}" for each in texts(tree, node, text))
        case ast.AnnAssign(target=ast.Name(id="LOST_SENTENCES"), value=ast.Dict(values=values)):
            for value in values:
                if isinstance(value, ast.Constant):
                    yield f"426 {_FIELD.sub(FILLED, str(value.value))}, {FILLED}."
        case ast.ClassDef(name="LoginBusy" | "LoginUnavailable", body=body):
            for each in body:
                if isinstance(each, ast.Assign) and _called(each.targets[0]) == "text":
                    yield f"421 {ast.literal_eval(each.value)}"


def of_findings(tree: ast.Module, node: ast.AST) -> Iterator[str]:
    """Return the templates of the doctor's warnings and problems, without the remedy."""
    match node:
        case ast.Call(func=ast.Name(id="warning" | "problem"), args=[text, _]):
            yield from texts(tree, node, text)


def of_orders(tree: ast.Module, node: ast.AST) -> Iterator[str]:
    """Return what a command says on standard error or asks for on standard output, and the server's refusals."""
    match node:
        case ast.Call(func=function, args=[text, *_], keywords=keywords):
            is_said = _called(function) == "echo"
            is_error = is_said and any(each.arg == "err" for each in keywords)
            for said in texts(tree, node, text):
                if is_error or _called(function) in REFUSALS or (is_said and ASKS.search(said)):
                    yield said
        case ast.FunctionDef(name="_why"):
            for each in ast.walk(node):
                if isinstance(each, ast.Return) and each.value is not None:
                    yield from texts(tree, each, each.value)


def of_files(tree: ast.Module, node: ast.AST) -> Iterator[str]:
    """Return the templates of what is wrong, or doubtful, in the files of the configuration, without the place."""
    match node:
        case ast.Call(func=ast.Attribute(attr="error" | "complaint"), args=[_, text, *_]):
            yield from texts(tree, node, text)
        case ast.Raise(exc=ast.Call(func=ast.Name(id="ValueError" | "CertificateError"), args=[text, *_])):
            yield from texts(tree, node, text)
        case ast.Yield(value=ast.Tuple(elts=[_, text, ast.Constant(value="error" | "warning")])):
            yield from texts(tree, node, text)
        case ast.FunctionDef(name="_sentence" | "_choices" | "_unknown_key"):
            for each in ast.walk(node):
                if isinstance(each, ast.Return) and each.value is not None:
                    yield from texts(tree, each, each.value)


def of_sentences(tree: ast.Module, node: ast.AST) -> Iterator[str]:
    """Return the templates of sentences that are returned, raised or yielded with a key: what is wrong with a file."""
    match node:
        case ast.Yield(value=ast.Tuple(elts=[_, text])) | ast.Return(value=ast.JoinedStr() | ast.Constant() as text):
            found = texts(tree, node, text)
        case ast.Return(value=ast.IfExp() as text) | ast.Raise(exc=ast.Call(args=[text])):
            found = texts(tree, node, text)
        case ast.Raise(exc=ast.Call(args=[one, other, *_])):
            found = (text for each in (one, other) for text in texts(tree, node, each))
        case ast.Call(func=function, args=arguments) if _called(function) in ("_complain", "_complain_at", "Hint"):
            found = (text for each in arguments for text in texts(tree, node, each))
        case _:
            return
    yield from (text for text in found if len(text.split()) >= 3)


def of_passed_on(tree: ast.Module, node: ast.AST) -> Iterator[str]:
    """Return the templates of errors that commands, and the start, pass on as their own words."""
    match node:
        case ast.Raise(exc=ast.Call(func=function, args=[text, *_])) if _called(function) in PASSED_ON:
            yield from texts(tree, node, text)


def of_causes(tree: ast.Module, node: ast.AST) -> Iterator[str]:
    """Return the templates of errors whose words stand in a line of a log, an event or a finding."""
    match node:
        case ast.Raise(exc=ast.Call(func=function, args=arguments)) if _called(function) in CAUSES:
            for each in arguments:
                yield from texts(tree, node, each)


def of_events(tree: ast.Module, node: ast.AST) -> Iterator[str]:
    """Return the name of an event of the audit log."""
    match node:
        case ast.ClassDef(body=body):
            found = {_called(each.targets[0]): each.value for each in body if isinstance(each, ast.Assign)}
            name, logged = found.get("event"), found.get("logged")
            if isinstance(name, ast.Constant) and not (isinstance(logged, ast.Constant) and logged.value is False):
                yield str(name.value)


def _called(function: ast.expr) -> str:
    return (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )


def _codes(code: ast.expr) -> Iterator[int]:
    """Return the codes of refusals that *code* can be."""
    match code:
        case ast.Constant(value=int(number)) if number >= 400:
            yield number
        case ast.IfExp(body=body, orelse=other):
            yield from _codes(body)
            yield from _codes(other)


# What is said on standard output and asks for an action.
ASKS = re.compile(r"run this again|; see |; look at|; a reload|^destroy |\bkeep them|reload: systemctl")
REFUSALS = {"UsageError", "BadParameter", "ClickException", "fail", "tell_error", "Trouble", "Refused", "NoServer"}

# Their words are shown as they are.
PASSED_ON = {
    *("Busy", "Damaged", "DemoProblem", "Failed", "KeyTrouble", "ListenProblem", "MigrationError", "NotOurs"),
    *("StateTrouble", "Trouble", "Untrusted"),
}
# Their words are filled into other messages.
CAUSES = {
    *("DamagedError", "EngineDown", "EngineFailed", "GivenUp", "IcapError", "KeyFileError", "NoAnswer", "NoGnuPG"),
    *("Nonsense", "NotSent", "NotTaken", "PartnerError", "Silence", "SourceUnavailable"),
}

Kind = Callable[[ast.Module, ast.AST], Iterator[str]]


class Part(NamedTuple):
    """The messages of one *kind* in one *section* of the page: those of the files *within*, without those in *but*."""

    section: str
    kind: Kind
    within: tuple[str, ...] = ("",)
    but: tuple[str, ...] = ()


_OF_ORDERS = ("cli/asking.py", "cli/running/", "service/operating/")
_OF_FILES = ("config/", "service/building/", "service/inspecting/", "tls/certificates", "tls/clients/", "tls/served/")
# Sentences that are no complaints: facts of `ftpsd access` and `ftpsd explain`, remedies of other sentences.
_FACTS = (
    *("service/inspecting/everybody.py", "service/inspecting/rules_told.py", "config/parsing/complaints.py"),
    "config/parsing/hiding.py",
)
PARTS = (
    Part("The log of the daemon", of_log),
    Part("Replies to clients", of_replies),
    Part("Events of the audit log", of_events, ("audit/",)),
    Part("Findings of the doctor", of_findings, ("doctor/",)),
    Part("Orders to the running server", of_orders, _OF_ORDERS),
    Part("Other commands", of_orders, ("cli/",), _OF_ORDERS),
    Part("Other commands", of_passed_on, but=(*_OF_ORDERS, "config/")),
    Part("The files of the configuration", of_files, _OF_FILES),
    Part("The files of the configuration", of_sentences, _OF_FILES, _FACTS),
    Part("Causes in other messages", of_causes),
)
SECTIONS = tuple(dict.fromkeys(part.section for part in PARTS))


def texts(tree: ast.Module, call: ast.AST, value: ast.expr) -> Iterator[str]:
    """Return the texts that *value* can be, an argument of *call*; none for what is built elsewhere."""
    match value:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(part.value if isinstance(part, ast.Constant) else FILLED for part in parts)  # type: ignore[misc]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            lefts, rights = ([*texts(tree, call, side)] or [FILLED] for side in (left, right))
            yield from (one + other for one in lefts for other in rights)
        case ast.IfExp(body=body, orelse=other):
            yield from texts(tree, call, body)
            yield from texts(tree, call, other)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="format")):
            for assigned in _assigned(tree, call, name):
                yield from (_FIELD.sub(FILLED, text) for text in texts(tree, call, assigned))
        case ast.Name(id=name):
            for assigned in _assigned(tree, call, name):
                yield from texts(tree, call, assigned)


def _assigned(tree: ast.Module, call: ast.AST, name: str) -> Iterator[ast.expr]:
    """Return what *name* is set to in the functions around *call*, or else in the module."""
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.lineno <= _line(call) <= (node.end_lineno or 0)
    ]
    yield from [*_set_in(around, name)] or [*_set_in([tree], name)] or [*_imported(tree, name)]


def _imported(tree: ast.Module, name: str) -> Iterator[ast.expr]:
    """Return what the constant *name* of another module of ours is set to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and any(each.name == name for each in node.names):
            path = ROOT / f"{node.module.replace('.', '/')}.py"
            if path.exists():
                yield from _set_in([_parsed(path)], name)


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _set_in(places: list[ast.FunctionDef | ast.AsyncFunctionDef] | list[ast.Module], name: str) -> Iterator[ast.expr]:
    for place in places:
        for node in ast.walk(place):
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                value = node.value  # type: ignore[attr-defined]
                if value is not None and not (isinstance(value, ast.Name) and value.id == name):
                    yield value


@cache
def collected() -> dict[str, dict[str, list[str]]]:
    """Return the templates of each section, with the places of each: file and line."""
    found: dict[str, dict[str, list[str]]] = {section: {} for section in SECTIONS}
    for path in sorted(SOURCES.rglob("*.py")):
        tree = _parsed(path)
        nodes = list(ast.walk(tree))
        name = str(path.relative_to(SOURCES))
        for part in PARTS:
            if not name.startswith(part.within) or name.startswith(part.but):
                continue
            for node in nodes:
                for template in filter(_says_something, part.kind(tree, node)):
                    found[part.section].setdefault(flat(template), []).append(f"{name}:{_line(node)}")
    return found


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


def _says_something(template: str) -> bool:
    return any(letter.isalpha() for letter in template)


def flat(template: str) -> str:
    """Return *template* as it stands in a cell of a table."""
    text = " ".join(template.split()).replace("|", "\\|")
    return re.sub(f"{FILLED}+", FILLED, text)


def on_page(page: Path = PAGE) -> dict[str, list[str]]:
    """Return the first cells of the tables of each section of the page."""
    found = {}
    for part in page.read_text().split("\n## ")[1:]:
        heading, _, text = part.partition("\n")
        found[heading.strip()] = [cell for _, cell in _ROW.findall(text)]
    return found


def main() -> None:
    page = on_page() if PAGE.exists() else {}
    for section, templates in collected().items():
        there = set(page.get(section, ()))
        for template, places in templates.items():
            if template not in there:
                print(f"{section}\t{template}\t{' '.join(places)}")
        for gone in there - templates.keys():
            print(f"{section}\tGONE\t{gone}")


if __name__ == "__main__":
    main()
