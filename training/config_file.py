"""Configurations of runs as YAML: read, put over one another, overridden on the command line, and saved."""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args

import yaml

from training.config import require

Config = TypeVar("Config")

TRUTH = "tag:yaml.org,2002:bool"


class Loader(yaml.SafeLoader):
    """Only true and false are truth values, as in YAML 1.2: `mixed_precision: no` is text."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != TRUTH]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Loader.add_implicit_resolver(TRUTH, re.compile("(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def build(config_class: type[Config], values: dict[str, Any]) -> Config:
    """Make a (nested) dataclass out of plain YAML values; unknown keys raise a `ValueError` that lists them."""
    if not isinstance(values, dict):
        raise ValueError(f"{config_class.__name__} needs a mapping of its fields, but {values!r} came.")
    known = {item.name: item for item in fields(config_class)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{config_class.__name__} has no field {', '.join(unknown)}; it has {', '.join(known)}.")
    arguments = {}
    for name, value in values.items():
        kind = known[name].type
        kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
        if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__"):
            value = build(kind, value)
        elif isinstance(value, list):
            value = tuple(value)
        elif float in kinds and type(value) is int:
            value = float(value)
        elif set(kinds) <= {bool, float, int, str, NoneType}:
            # YAML reads 1e-4 as text: a number with an exponent needs a point
            needed = " or ".join("empty" if one is NoneType else one.__name__ for one in kinds)
            field_name = f"{config_class.__name__}.{name}"
            require(type(value) in kinds, field_name, value, f"of type {needed} (such as 1.0e-4, not 1e-4)")
        arguments[name] = value
    try:
        return config_class(**arguments)
    except TypeError as error:
        raise ValueError(f"{config_class.__name__} is incomplete: {error}.") from error


def override(values: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply `key=value` and `group.key=value` assignments (values read as YAML) to a mapping."""
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator:
            raise ValueError(f"'{assignment}' is no override; write it as key=value or group.key=value.")
        *groups, key = path.split(".")
        target = values
        for group in groups:
            target = target.setdefault(group, {})
            if not isinstance(target, dict):
                raise ValueError(f"'{assignment}' names a field of {group}, which is {target!r} and has none.")
        target[key] = yaml.load(text, Loader)
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """The values of a YAML file, over those of the file beside it that its key `extends` names."""
    values = yaml.load(path.read_text(), Loader)
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds {values!r}; a mapping of fields is needed.")
    base = values.pop("extends", None)
    return values if base is None else merged(read_yaml(path.parent / base), values)


def merged(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """`base` with `values` put over it, group by group."""
    together = dict(base)
    for name, value in values.items():
        nested = isinstance(value, dict) and isinstance(base.get(name), dict)
        together[name] = merged(base[name], value) if nested else value
    return together


def parse_run(config_class: type[Config], description: str) -> tuple[Config, Path]:
    """Read `--config YAML --output_dir DIR [key=value …]` from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, required=True, help="YAML file, see training/configs")
    parser.add_argument("--output_dir", type=Path, required=True, help="where checkpoints and results go")
    parser.add_argument("overrides", nargs="*", help="key=value or group.key=value, over the YAML")
    arguments = parser.parse_intermixed_args()
    try:
        values = override(read_yaml(arguments.config), arguments.overrides)
        return build(config_class, values), arguments.output_dir
    except (OSError, ValueError) as error:
        parser.error(str(error))


RESOLVED = "config.yaml"
"""Where the configuration of a run lies in its folder."""


def save_resolved(config: Any, output_dir: Path) -> list[str]:
    """Write the configuration of a run, defaults and overrides included, to `output_dir/config.yaml`.

    Returns:
        what differs from the configuration that was there before, a line for each field.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    # through JSON, which turns tuples into plain lists
    plain = json.loads(json.dumps(asdict(config)))
    path = output_dir / RESOLVED
    before = flat(yaml.safe_load(path.read_text())) if path.is_file() else flat(plain)
    path.write_text(yaml.safe_dump(plain, sort_keys=False))
    now = flat(plain)
    return [
        f"{name}: {before.get(name)} → {now.get(name)}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested groups as `group.key`."""
    fields_by_name: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            fields_by_name.update(flat(value, f"{prefix}{name}."))
        else:
            fields_by_name[f"{prefix}{name}"] = value
    return fields_by_name
