"""Rules no tool knows: folders, sizes, the reactor, swallowed exceptions, links, the README's commands."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.tools import ROOT

MOST_LINES, MOST_LINES_OF_TESTS = 400, 450
MOST_FILES = 12
SOURCES = sorted((ROOT / "ftpsd").rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# [text](target), with or without a title; images too.
LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
VENV = "python3 -m venv .venv && .venv/bin/pip install -q --require-hashes -r requirements"
PROJECT = ".venv/bin/pip install -q --no-deps --no-build-isolation"
TEST_COMMAND = f"{VENV}/test.txt && {PROJECT} -e . && .venv/bin/pytest"
DEMO_COMMAND = f"{VENV}/run.txt && {PROJECT} . && .venv/bin/ftpsd demo"


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def python_files() -> Iterator[Path]:
    for folder in ("ftpsd", "tests", "bench", "twisted"):
        yield from (ROOT / folder).rglob("*.py")


def trees(paths: Iterable[Path], *words: str) -> Iterator[tuple[Path, ast.Module]]:
    """Yield the files that have all *words*, parsed: what the others cannot have need not be looked for."""
    for path in paths:
        text = path.read_text()
        if all(word in text for word in words):
            yield path, ast.parse(text)


def imports_reactor(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name == "twisted.internet.reactor" for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        from_package = node.module == "twisted.internet" and any(alias.name == "reactor" for alias in node.names)
        return from_package or node.module == "twisted.internet.reactor"
    return False


def swallows_everything(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler):
        return False
    kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    everything = any(kind is None or ast.unparse(kind) in {"Exception", "BaseException"} for kind in kinds)
    return everything and all(isinstance(line, ast.Pass) for line in node.body)


def test_no_folder_is_overfull_and_no_name_is_there_twice() -> None:
    """A name leads to one file, and a folder is seen at a glance; beside its files it may have folders."""
    modules = [path for path in SOURCES if not path.stem.startswith("__")]
    folders = Counter(shown(path.parent) for path in modules)
    assert {folder: count for folder, count in folders.items() if count > MOST_FILES} == {}
    names = Counter(path.name for path in modules)
    assert [shown(path) for path in modules if names[path.name] > 1] == []


@pytest.mark.parametrize("folder", sorted({path.parent for path in SOURCES}), ids=shown)
def test_a_folder_says_what_lives_there_and_no_more(folder: Path) -> None:
    """An __init__.py is a docstring only; commands/ also lists its families, the package its version."""
    body = ast.parse((folder / "__init__.py").read_text()).body
    assert body, "no docstring"
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)
    assert isinstance(body[0].value.value, str)
    allowed: dict[str, tuple[type[ast.stmt], ...]] = {
        "ftpsd": (ast.Assign,),
        "ftpsd/commands": (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom),
    }
    assert [ast.unparse(line) for line in body[1:] if not isinstance(line, allowed.get(shown(folder), ()))] == []


def test_twisted_is_not_shadowed() -> None:
    """The plugin's folders are no packages: an __init__.py there would hide Twisted itself."""
    assert list((ROOT / "twisted").rglob("__init__.py")) == []


def test_files_stay_small() -> None:
    """A file that grows past the limit holds two ideas."""
    lines = {shown(path): len(path.read_text().splitlines()) for path in python_files()}
    most = {path: MOST_LINES if path.startswith("ftpsd/") else MOST_LINES_OF_TESTS for path in lines}
    assert {path: count for path, count in lines.items() if count > most[path]} == {}


def test_the_reactor_is_imported_in_one_place() -> None:
    """Everything else is given the reactor, and so can be given a clock instead."""
    importers = [shown(path) for path, tree in trees(SOURCES, "reactor") if any(map(imports_reactor, ast.walk(tree)))]
    assert importers == ["ftpsd/start.py"]


def test_no_exception_is_swallowed_whole() -> None:
    """`except Exception: pass` hides the bug that comes next year."""
    guilty = [
        f"{shown(path)}:{node.lineno}"
        for path, tree in trees(python_files(), "except", "pass")
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and swallows_everything(node)
    ]
    assert guilty == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of the documents points at a file that is there."""
    targets = [target.split("#")[0] for target in LINK.findall(document.read_text())]
    local = [target for target in targets if target and "://" not in target and not target.startswith("mailto:")]
    assert [target for target in local if not (document.parent / target).exists()] == []


def test_the_readme_begins_with_the_two_commands() -> None:
    """The README shows the line that tests everything and the line that shows everything."""
    readme = (ROOT / "README.md").read_text()
    assert TEST_COMMAND in readme
    assert DEMO_COMMAND in readme


def test_the_build_runs_the_command_of_the_readme() -> None:
    """The build runs the command of a newcomer, not a second way that can work alone."""
    assert TEST_COMMAND in (ROOT / ".ci" / "run").read_text()


def test_the_page_of_the_house_names_files_that_are_there() -> None:
    """Each module on it is there; a bare name stands for the one file that is called so."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"[\w./]+\.py\b", page))
    folders = [ROOT, ROOT / "ftpsd"]
    known = {path.name for path in python_files()}
    assert [
        name for name in sorted(named)
        if not any((folder / name).is_file() for folder in folders)
        and not ("/" not in name and name in known)
        and not list((ROOT / "ftpsd").glob(f"*/{name}"))
    ] == []  # fmt: skip
    functions = re.findall(r"`([\w/]+\.py):(\w+)`", page)
    assert len(functions) > 10
    assert [f"{path}:{name}" for path, name in functions if name not in (ROOT / "ftpsd" / path).read_text()] == []


def test_one_place_publishes_and_the_page_names_it() -> None:
    """A step before 226 that is added there is passed by through no other command."""
    floors = [ROOT / "ftpsd" / name for name in ("control", "commands")]
    callers = {path for floor in floors for path in floor.rglob("*.py") if ".commit()" in path.read_text()}
    assert {path.name: path.read_text().count(".commit()") for path in callers} == {"datatransfer.py": 1}
    page = (ROOT / "docs" / "architecture.md").read_text()
    (line,) = re.findall(r"^\* a \*\*step between the last byte and 226.*\n(?:  .*\n)*", page, re.MULTILINE)
    assert [path.name for path in sorted(callers) if f"{path.parent.name}/{path.name}" not in line] == []
