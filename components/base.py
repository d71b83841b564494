"""What every component shares: its image, and inputs that are as many as the candidates."""

import ast
import inspect
import linecache
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from fettle import __version__

IMAGE = os.environ.get("FETTLE_IMAGE", f"fettle/python-step:{__version__}")
Body = Callable[..., Any]


class Many:
    """Annotation of an input that stands for several artifacts; the body gets ``{name: artifact}``."""


def component(body: Body, *, name: str, many: Mapping[str, Sequence[str]]) -> BaseComponent:
    """Return a component of ``body`` that is called ``name``.

    Args:
        body: Function of a ``components`` module.
        name: Name in the graph; tasks of the same step differ in it, so that caching survives other recipes.
        many: For each parameter annotated ``Many``: the names of the artifacts that come in. Kubeflow has no
            list of artifacts of several tasks, so each becomes an input of its own, named after the candidate.
    """
    body = _expand(body, name, many)
    return dsl.component(body, base_image=IMAGE, install_kfp_package=False)


def input_name(parameter: str, name: str) -> str:
    """Return the name of the input for the artifact ``name`` of a ``Many`` parameter."""
    return f"{parameter}_{name}".replace("-", "_").replace(".", "_")


def _expand(body: Body, name: str, many: Mapping[str, Sequence[str]]) -> Body:
    """Rewrite the function's source: its name, one argument an artifact, and a dict of them at the top."""
    function = ast.parse(textwrap.dedent(inspect.getsource(body))).body[0]
    assert isinstance(function, ast.FunctionDef)
    function.name = name.replace("-", "_")
    arguments: list[ast.arg] = []
    for argument in function.args.args:
        names = many.get(argument.arg) if _is_many(argument) else None
        if names is None:
            arguments.append(argument)
            continue
        annotation = ast.parse("Input[Artifact]", mode="eval").body
        arguments += [ast.arg(input_name(argument.arg, each), annotation) for each in names]
        items = ", ".join(f"{each!r}: {input_name(argument.arg, each)}" for each in names)
        function.body.insert(1, ast.parse(f"{argument.arg} = {{{items}}}").body[0])  # after the docstring
    function.args.args = arguments
    return _compile(ast.unparse(ast.fix_missing_locations(function)) + "\n", function.name, body)


def _is_many(argument: ast.arg) -> bool:
    return isinstance(argument.annotation, ast.Name) and argument.annotation.id == Many.__name__


def _compile(source: str, name: str, body: Body) -> Body:
    """Execute ``source`` in the body's module, where ``inspect`` finds it again."""
    file = f"<{body.__module__}:{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope = {**vars(inspect.getmodule(body)), "Input": dsl.Input, "Artifact": dsl.Artifact}
    exec(compile(source, file, "exec", dont_inherit=True), scope)
    made: Body = scope[name]
    return made
