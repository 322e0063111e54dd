"""
pydantic's errors as sentences for an operator, each at its place.

No complaint repeats what could be a part of a password (hiding.py). An unknown key names the known key that was
probably meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ftpsd.config.parsing.document import ConfigError, Document, Key, shown, shown_key
from ftpsd.config.parsing.hiding import HIDDEN_KEY, QUOTES, holds_secrets, is_word
from ftpsd.config.units import describe

_WANTED: Final = {
    "int_type": "a whole number", "string_type": "text", "bool_type": "true or false",
    "tuple_type": "a list, such as [a, b]", "list_type": "a list, such as [a, b]",
    "model_type": "a section with keys of its own", "dict_type": "a section with keys of its own",
}  # fmt: skip


def complaints(document: Document, error: ValidationError, model: type[BaseModel], name: str) -> list[ConfigError]:
    """Turn pydantic's errors about *document*, read as *model*, into complaints; *name* is that of the file."""
    found: list[ConfigError] = []
    split: set[Key] = set()
    for detail in error.errors(include_url=False):
        key = _as_written(document, tuple(detail["loc"]))
        if document.is_refused(key):
            continue
        kind = detail["type"]
        if kind == "extra_forbidden":
            # A hash falls into two or three.
            if key[:-1] not in split:
                found.append(_about_unknown_key(document, key, model, name))
            if document.is_bare(key):
                split.add(key[:-1])
        elif kind == "missing":
            where = f"{shown_key(key[:-1]) or name}{_words_for(key, model)}"
            found.append(document.error(key, f"missing; add {shown(str(key[-1]))}: to {where}"))
        else:
            value = detail.get("input")
            if holds_secrets(key) and not isinstance(value, (dict, list, type(None))):
                value = _Unshown(value)
            sentence = _sentence(kind, value, detail.get("ctx", {}), detail["msg"])
            found.append(document.error(key, sentence))
    return found


def _as_written(document: Document, key: Key) -> Key:
    """Leave numbers out of *key* where the file has one entry in the place of a list of them."""
    node, found = document.root, []
    for part in key:
        if isinstance(part, int) and isinstance(node.items, dict):
            continue
        found.append(part)
        below = node.child(part)
        if below is None:
            return (*found, *key[len(found) :])
        node = below
    return tuple(found)


def nearest(word: str, known: Mapping[str, Any] | list[str] | tuple[str, ...]) -> str | None:
    """Return the known word that *word* was probably meant to be."""
    folded = word.lower().replace("-", "_")
    matches = difflib.get_close_matches(folded, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def _sentence(kind: str, value: object, context: Mapping[str, Any], fallback: str) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}, not {describe(value)}"
    if kind == "literal_error":
        return _choices(value, str(context["expected"]))
    if kind == "greater_than_equal":
        return f"{describe(value)} is too small; the least is {context['ge']}"
    if kind == "less_than_equal":
        return f"{describe(value)} is too large; the most is {context['le']}"
    if kind == "string_too_long":
        return f"longer than {context['max_length']} characters; shorten it"
    return fallback[:1].lower() + fallback[1:]


def _choices(value: object, expected: str) -> str:
    choices = [part for part in expected.split("'") if part not in ("", ", ", " or ")]
    guess = nearest(value, choices) if isinstance(value, str) else None
    listed = " or ".join([", ".join(choices[:-1]), choices[-1]]) if len(choices) > 1 else choices[0]
    hint = f"did you mean {guess}? Known are {listed}" if guess else f"write {listed}"
    return f"{describe(value)} is not known here; {hint}"


class _Unshown:
    """The value of a key that could be a secret."""

    def __init__(self, value: object) -> None:
        self._kind = "text" if isinstance(value, str) else "a number or a word"

    def __str__(self) -> str:
        return f"{self._kind} that is not shown"


def _about_unknown_key(document: Document, key: Key, model: type[BaseModel], name: str) -> ConfigError:
    """Report an unknown *key*, and repeat it where it could be a mistyped key and nothing else."""
    where = shown_key(key[:-1]) or name
    if document.is_bare(key):
        message = f"the end of a value, and not a key of {where}: inside {{ }} a comma ends a value; {QUOTES}"
    elif is_word(str(key[-1])):
        return document.error(key, _unknown_key(key, model, name), at_key=True)
    else:
        section = _model_at(model, key[:-1])
        known = f"; its keys are {', '.join(keys_of(section))}" if section else ""
        message = f"not a key of {where}{known}; {QUOTES}"
    return replace(document.error(key, message, at_key=True), key=shown_key((*key[:-1], HIDDEN_KEY)))


def _unknown_key(key: Key, model: type[BaseModel], name: str) -> str:
    word = str(key[-1])
    section = _model_at(model, key[:-1])
    where = shown_key(key[:-1]) or name
    known = keys_of(section) if section else []
    guess = nearest(word, known)
    if guess and difflib.SequenceMatcher(None, word, guess).ratio() > 0.8:
        return f"not a key of {where}; did you mean {guess}?"
    for other, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is not section and not _container(field.annotation) and inner and word in inner.model_fields:
            return f"not a key of {where}; did you mean {other}.{word}?"
    if section is not model and word in model.model_fields:
        return f"not a key of {where}; did you mean {word} at the top of the file?"
    if guess:
        return f"not a key of {where}; did you mean {guess}?"
    return f"not a key of {where}; its keys are {', '.join(known)}"


def _words_for(key: Key, model: type[BaseModel]) -> str:
    """Return which words the *key* may have, where it has words."""
    section = _model_at(model, key[:-1])
    field = None if section is None else section.model_fields.get(str(key[-1]))
    is_word = field is not None and get_origin(field.annotation) is Literal
    return f", which is {' or '.join(map(str, get_args(field.annotation)))}" if field is not None and is_word else ""


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys of a section as a file spells them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], key: Key) -> type[BaseModel] | None:
    current: type[BaseModel] | None = model
    parts = iter(key)
    for part in parts:
        if isinstance(part, int):
            continue
        if current is None or part not in current.model_fields:
            return None
        annotation = current.model_fields[part].annotation
        current = _model_in(annotation)
        if _container(annotation) is dict:
            next(parts, None)
    return current


def _container(annotation: Any) -> Any:
    """Return dict or tuple for a section with many entries, also one that may be left out; else None."""
    if get_origin(annotation) in (dict, tuple):
        return get_origin(annotation)
    return next((found for part in get_args(annotation) if (found := _container(part))), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        if found := _model_in(part):
            return found
    return None
