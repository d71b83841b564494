"""A component of one body or several, which take what other components made, once each."""

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
    """Annotation of a parameter that stands for several artifacts: the body gets ``{name: artifact}``."""


@dataclass(frozen=True)
class Part:
    """A body of a component.

    Attributes:
        name: Name of its task; no two parts of a component have the same.
        body: Function of a ``components`` module.
        inputs: For each artifact that it takes, the variable that holds it, or ``{name: variable}``.
        settings: The parameters that it is given; the others keep their defaults.
    """

    name: str
    body: Body
    inputs: Mapping[str, str | Mapping[str, str]]
    settings: Sequence[str]


def component(parts: Sequence[Part], *, name: str, inputs: Sequence[str]) -> BaseComponent:
    """Return a component that runs bodies one after the other, in one pod.

    Its outputs and settings are those of the parts, called ``<part>_<name>``; a part finds what earlier ones made in
    the variables of that name. Each artifact from outside is one input, however many parts and roles take it: Kubeflow
    has no list of artifacts of several tasks, and ML Metadata refuses one that is an input twice.

    Args:
        parts: The bodies, in their order.
        name: Name in the graph.
        inputs: The artifacts that come from outside, one variable each.
    """
    arguments = [ast.arg(each, _expression("Input[Artifact]")) for each in inputs]
    body: list[ast.stmt] = [ast.Expr(ast.Constant("\n".join(inspect.getdoc(part.body) or "" for part in parts)))]
    for part in parts:
        function = _function(part.body)
        own = {each.arg: each for each in function.args.args}
        given = {role: _variables(source) for role, source in part.inputs.items()}
        for each in (*(each for each, argument in own.items() if _is_output(argument)), *part.settings):
            given[each] = variable(part.name, each)
            arguments.append(ast.arg(given[each], own[each].annotation))
            own[each].annotation = None
        for argument in own.values():
            argument.annotation = None
        function.name = identifier(part.name)
        call = f"{function.name}({', '.join(f'{each}={held}' for each, held in given.items())})"
        body += [function, ast.Expr(_expression(call))]
    whole = ast.parse(f"def {identifier(name)}(): pass").body[0]
    assert isinstance(whole, ast.FunctionDef)
    whole.args.args, whole.body = arguments, body
    made = _compile(_source(whole), whole.name, *(part.body for part in parts))
    return dsl.component(made, base_image=IMAGE, install_kfp_package=False)


def identifier(name: str) -> str:
    """Return what a task is called in Python."""
    return name.replace("-", "_").replace(".", "_")


def variable(part: str, name: str) -> str:
    """Return what an output or a setting of a part is called."""
    return f"{identifier(part)}_{name}"


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
    return f"{{{', '.join(f'{name!r}: {held}' for name, held in source.items())}}}"


def _is_output(argument: ast.arg) -> bool:
    return isinstance(argument.annotation, ast.Subscript) and ast.unparse(argument.annotation.value) == "Output"


def _compile(source: str, name: str, *bodies: Body) -> Body:
    """Execute ``source`` among the names of the bodies' modules, where ``inspect`` finds it again."""
    file = f"<{bodies[0].__module__}:{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope = {key: value for body in bodies for key, value in vars(inspect.getmodule(body)).items()}
    scope |= {"Input": dsl.Input, "Artifact": dsl.Artifact}
    exec(compile(source, file, "exec", dont_inherit=True), scope)
    made: Body = scope[name]
    return made
