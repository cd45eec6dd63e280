"""Values in a YAML text: read as written, and changed without touching anything else."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import yaml

_KINDS = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "timestamp")}


def load(text: str) -> Any:
    """A parsed YAML text, with every plain value as written: ``0123`` is "0123".

    Raises
    ------
    yaml.YAMLError
        If it is empty.
    """
    import yaml

    try:
        return yaml.load(text, _loader())  # noqa: S506 - a SafeLoader
    except RecursionError:
        raise yaml.YAMLError from None


@cache
def _loader() -> type[yaml.SafeLoader]:
    """A loader that reads numbers, dates and booleans as text, whatever their tag."""
    import yaml

    resolvers = {
        first: [(tag, pattern) for tag, pattern in usual if tag not in _KINDS]
        for first, usual in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    # PyYAML's own constructors raise all kinds of errors for a tag that does not match its value.
    constructors = {
        **yaml.SafeLoader.yaml_constructors,
        **dict.fromkeys(_KINDS, yaml.SafeLoader.construct_yaml_str),
    }
    members = {"yaml_implicit_resolvers": resolvers, "yaml_constructors": constructors}
    return type("Loader", (yaml.SafeLoader,), members)


def put(text: str, keys: Sequence[str], value: str) -> str:
    """A YAML text with the value at these keys replaced; comments and everything else stay.

    Parameters
    ----------
    text : str
        A mapping of mappings.
    keys : sequence of str
        The keys of the mappings, outermost first. Missing ones are added.
    value : str
        Replaces the old value.

    Raises
    ------
    ValueError
        If this would also change something else in the text.
    """
    import yaml

    node = yaml.compose(text, yaml.SafeLoader)
    done = ""
    for depth, key in enumerate(keys):
        child = _child(node, key)
        if child is None:
            done = _with_entry(text, node, keys[depth:], value)
            break
        node = child
    else:
        done = _replaced(text, node, _written(value))
    try:
        if load(done) == _expected(load(text), keys, value):
            return done
    except yaml.YAMLError:
        pass
    raise ValueError


def _child(node: Any, key: str) -> Any:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        raise ValueError  # noqa: TRY004 - it is the text's fault
    children: Iterator[Any] = (child for name, child in node.value if name.value == key)
    return next(children, None)


def _expected(document: Any, keys: Sequence[str], value: str) -> Any:
    """A copy of a document, with the value at its place."""
    if not keys:
        return value
    first, *others = keys
    return {**document, first: _expected(document.get(first, {}), others, value)}


def _with_entry(text: str, mapping: Any, keys: Sequence[str], value: str) -> str:
    """The text with an entry at the end of a mapping."""
    import yaml

    entry: Any = value
    for key in reversed(keys):
        entry = {key: entry}
    if mapping.flow_style or not mapping.value:
        mapping.value += yaml.compose(yaml.safe_dump(entry), yaml.SafeLoader).value
        return _replaced(text, mapping, _one_line(yaml.serialize(mapping, width=len(text) + 999)))
    last = mapping
    while isinstance(last, yaml.CollectionNode) and last.value and not last.flow_style:
        last = last.value[-1][1] if isinstance(last, yaml.MappingNode) else last.value[-1]
    end = last.end_mark.index
    end = end - 1 if text[end - 1] == "\n" else text.find("\n", end)  # after a block scalar
    end = len(text) if end < 0 else end
    indent = " " * mapping.start_mark.column
    lines = yaml.safe_dump(entry, width=len(value) + 999).splitlines()
    return text[:end] + "".join(f"\n{indent}{line}" for line in lines) + (text[end:] or "\n")


def _replaced(text: str, node: Any, by: str) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    return f"{text[:start]}{' ' * (text[start - 1] == ':')}{by}{text[end:]}"


def _written(value: str) -> str:
    import yaml

    return _one_line(yaml.safe_dump(value, width=len(value) + 999))


def _one_line(dumped: str) -> str:
    return dumped.removesuffix("\n").removesuffix("\n...")
