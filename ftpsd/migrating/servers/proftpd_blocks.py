"""proftpd.conf as a tree: directives with their words, in blocks; included files stand where they are named."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ftpsd.migrating.old_machine import MAX_FILES, MigrationError, OldMachine

MAX_DEPTH: Final = 16
_WORD: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
# Blocks that only ask what the program was built with, and those for all servers: what is in them counts.
_OPEN: Final = frozenset({"ifmodule", "ifdefine", "global", "ifversion"})


@dataclass(frozen=True, slots=True)
class Directive:
    """One line: its *name* in lower case, and its words."""

    name: str
    words: tuple[str, ...]
    place: str


@dataclass(slots=True)
class Block:
    """One <Name words> with what is in it; the whole file is a block without a name."""

    name: str = ""
    words: tuple[str, ...] = ()
    place: str = ""
    directives: list[Directive] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def last(self, name: str) -> Directive | None:
        """Return the directive called *name* that counts."""
        return next((each for each in reversed(self.directives) if each.name == name), None)


class BlockReader:
    """Reads a file and those that it includes, at most so many and so deep."""

    def __init__(self, machine: OldMachine) -> None:
        self._machine = machine
        self._files = 0
        self.missing: list[Directive] = []

    def read(self, path: Path) -> Block:
        """Return the tree of the file at *path*. Raises: MigrationError."""
        top = Block()
        self._file(path, [top], 0)
        return top

    def _file(self, path: Path, stack: list[Block], depth: int) -> None:
        self._files += 1
        if depth > MAX_DEPTH or self._files > MAX_FILES:
            raise MigrationError(f"{path}: too many files include each other.")
        base, pending = len(stack), ""
        for number, raw in enumerate(self._machine.lines(path), 1):
            line = (pending + raw).strip()
            if line.endswith("\\"):
                pending = line[:-1] + " "
                continue
            pending = ""
            if line and not line.startswith("#"):
                self._line(path, f"{path.name}:{number}", line, stack, base, depth)
        if len(stack) != base:
            raise MigrationError(f"{path}: the block at {stack[-1].place} has no end.")

    def _line(self, path: Path, place: str, line: str, stack: list[Block], base: int, depth: int) -> None:
        if line.startswith("</"):
            if len(stack) == base or stack[-1].name != line[2:].rstrip("> \t").lower():
                raise MigrationError(f"{path}: {place}: this ends a block that has not begun.")
            stack.pop()
        elif line.startswith("<"):
            if len(stack) > MAX_DEPTH:
                raise MigrationError(f"{path}: {place}: there are too many blocks in each other.")
            self._begin(words(line[1:].removesuffix(">")), place, stack)
        else:
            name, *rest = words(line) or ("",)
            directive = Directive(name.lower(), tuple(rest), place)
            if directive.name in ("include", "%include"):
                self._include(path, directive, stack, depth)
            else:
                stack[-1].directives.append(directive)

    def _begin(self, said: tuple[str, ...], place: str, stack: list[Block]) -> None:
        name, *rest = said or ("",)
        block = Block(name.lower(), tuple(rest), place)
        is_asked = block.name in _OPEN
        if is_asked and not (rest and rest[0].startswith("!")):
            # Its directives belong to the block around it; the stack still has one level more to be ended.
            block.directives, block.blocks = stack[-1].directives, stack[-1].blocks
        elif not is_asked:
            stack[-1].blocks.append(block)
        stack.append(block)

    def _include(self, path: Path, directive: Directive, stack: list[Block], depth: int) -> None:
        wanted = self._machine.find(directive.words[0] if directive.words else "", beside=path)
        try:
            if wanted.is_dir():
                found = sorted(each for each in wanted.iterdir() if each.is_file())
            elif any(letter in wanted.name for letter in "*?["):
                found = sorted(each for each in wanted.parent.glob(wanted.name) if each.is_file())
            else:
                found = [wanted] if wanted.is_file() else []
                if not found:
                    self.missing.append(directive)
        except (OSError, ValueError):
            self.missing.append(directive)
            return
        for each in found:
            self._file(each, stack, depth + 1)


def words(line: str) -> tuple[str, ...]:
    """Return the words of a line; those in quotes without them."""
    found = []
    for quoted, plain in _WORD.findall(line):
        if plain.startswith("#"):
            break
        found.append(plain or re.sub(r"\\(.)", r"\1", quoted))
    return tuple(found)
