"""YAML as DVC writes it, read by libyaml: several times as fast as `params.parse`, and the same.

Thousands of commits are read, each with a dvc.lock of hundreds of lines. PyYAML's own rules are
those of YAML 1.1, in which 1e-05 is a text and `on` a truth value; here are those of 1.2.
"""

import re
from functools import lru_cache
from typing import Any

import yaml

from mnist_vae import params

_RULES = {
    "bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "int": (r"[-+]?[0-9]+", [*"-+0123456789"]),
    "float": (
        r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.[0-9]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        [*"-+0123456789."],
    ),
    "null": (r"~|null|Null|NULL|", [*"~nN", ""]),
}
_COMMENT = re.compile(rb"(?m)(?:^|(?<=\s))#.*$")
# Lines as DVC and we write them: `key: value`, `- value`, with plain values, quoted ones without
# escapes, lists on one line; no dates, and numbers with base ten only.
_VALUE = rb"""(?:'[^'\n]*'|"[^"\\\n]*"|\[[\w ,.-]*\]|[\w./+-][\w./+= -]*)"""
_LINE = re.compile(
    rb" *(?:- )*(?:[A-Za-z][\w./-]*:(?: +" + _VALUE + rb")?|" + _VALUE + rb")? *", re.ASCII
)
_ODD = re.compile(
    rb"(?<![\w./+-])[-+.0-9][\w.+-]*_|\b[0-9]{4}-[0-9]|\b0(?:x[0-9a-fA-F]+|o[0-7]+|b[01]+)(?![\w./+-])"
)


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]
    """PyYAML's, with other rules for what stands without quotes, and no key twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(made) != len(node.value):
            raise yaml.YAMLError("a key stands twice")
        return made


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)))  # 012 is twelve


for _name, (_pattern, _first) in _RULES.items():
    _tag = f"tag:yaml.org,2002:{_name}"
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _whole)


@lru_cache(maxsize=256)  # most commits have the same dvc.yaml
def parse(content: bytes, name: str) -> dict[str, Any]:
    """As `params.parse`, which gets whatever is not as DVC writes it."""
    plain = _COMMENT.sub(b"", content)
    if all(map(_LINE.fullmatch, plain.split(b"\n"))) and not _ODD.search(plain):
        loader = _Loader(content)  # PyYAML's safe one: it makes plain values only
        try:
            values = loader.get_single_data()
        except (yaml.YAMLError, ValueError, TypeError):
            return params.parse(content, name)
        finally:
            loader.dispose()
        if isinstance(values, dict):
            return values
    return params.parse(content, name)
