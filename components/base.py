"""What every component shares: its image, inputs that are as many as the candidates, and several bodies in one."""

import ast
import inspect
import linecache
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Part:
    """A body in a chain.

    Attributes:
        name: Name of its task; no two parts of a chain have the same.
        body: Function of a ``components`` module.
        inputs: For each artifact that it takes, the variable that holds it, or ``{name: variable}``.
        settings: The parameters that it is given; the others keep their defaults.
    """

    name: str
    body: Body
    inputs: Mapping[str, str | Mapping[str, str]]
    settings: Sequence[str]


def chain(parts: Sequence[Part], *, name: str, inputs: Sequence[str]) -> BaseComponent:
    """Return a component that runs several bodies one after the other, in one pod.

    Its outputs and settings are those of the parts, called ``<part>_<name>``; a part finds what earlier ones made in
    the variables of that name.

    Args:
        parts: The bodies, in their order.
        name: Name in the graph.
        inputs: The artifacts that come from outside, one variable each.
    """
    arguments = [ast.arg(each, _expression("Input[Artifact]")) for each in inputs]
    body: list[ast.stmt] = []
    for part in parts:
        function = _function(part.body)
        own = {each.arg: each for each in function.args.args}
        given = {role: _variables(source) for role, source in part.inputs.items()}
        for each in (*(each for each, argument in own.items() if _is_output(argument)), *part.settings):
            given[each] = output_name(part.name, each)
            arguments.append(ast.arg(given[each], own[each].annotation))
            own[each].annotation = None
        for argument in own.values():
            argument.annotation = None
        function.name = identifier(part.name)
        call = f"{function.name}({', '.join(f'{each}={variable}' for each, variable in given.items())})"
        body += [function, ast.Expr(_expression(call))]
    whole = ast.parse(f"def {identifier(name)}(): pass").body[0]
    assert isinstance(whole, ast.FunctionDef)
    whole.args.args, whole.body = arguments, body
    made = _compile(_source(whole), whole.name, *(part.body for part in parts))
    return dsl.component(made, base_image=IMAGE, install_kfp_package=False)


def identifier(name: str) -> str:
    """Return what a task, or a candidate, is called in Python."""
    return name.replace("-", "_").replace(".", "_")


def output_name(part: str, name: str) -> str:
    """Return what an output of a part of a chain is called."""
    return f"{identifier(part)}_{name}"


def input_name(parameter: str, name: str) -> str:
    """Return the name of the input for the artifact ``name`` of a ``Many`` parameter."""
    return identifier(f"{parameter}_{name}")


def _expand(body: Body, name: str, many: Mapping[str, Sequence[str]]) -> Body:
    """Rewrite the function's source: its name, one argument an artifact, and a dict of them at the top."""
    function = _function(body)
    function.name = identifier(name)
    arguments: list[ast.arg] = []
    for argument in function.args.args:
        names = many.get(argument.arg) if _is_many(argument) else None
        if names is None:
            arguments.append(argument)
            continue
        annotation = _expression("Input[Artifact]")
        arguments += [ast.arg(input_name(argument.arg, each), annotation) for each in names]
        items = ", ".join(f"{each!r}: {input_name(argument.arg, each)}" for each in names)
        function.body.insert(1, ast.parse(f"{argument.arg} = {{{items}}}").body[0])  # after the docstring
    function.args.args = arguments
    return _compile(_source(function), function.name, body)


def _function(body: Body) -> ast.FunctionDef:
    function = ast.parse(textwrap.dedent(inspect.getsource(body))).body[0]
    assert isinstance(function, ast.FunctionDef)
    return function


def _source(function: ast.FunctionDef) -> str:
    return ast.unparse(ast.fix_missing_locations(function)) + "\n"


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _variables(source: str | Mapping[str, str]) -> str:
    if isinstance(source, str):
        return source
    return f"{{{', '.join(f'{name!r}: {variable}' for name, variable in source.items())}}}"


def _is_output(argument: ast.arg) -> bool:
    return isinstance(argument.annotation, ast.Subscript) and ast.unparse(argument.annotation.value) == "Output"


def _is_many(argument: ast.arg) -> bool:
    return isinstance(argument.annotation, ast.Name) and argument.annotation.id == Many.__name__


def _compile(source: str, name: str, *bodies: Body) -> Body:
    """Execute ``source`` among the names of the bodies' modules, where ``inspect`` finds it again."""
    file = f"<{bodies[0].__module__}:{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope = {key: value for body in bodies for key, value in vars(inspect.getmodule(body)).items()}
    scope |= {"Input": dsl.Input, "Artifact": dsl.Artifact}
    exec(compile(source, file, "exec", dont_inherit=True), scope)
    made: Body = scope[name]
    return made
