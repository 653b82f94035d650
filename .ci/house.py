"""The house in numbers: what the redesign (and whoever comes after) is held against.

    python .ci/house.py            print the numbers of the working tree
    python .ci/house.py --check    exit 1 where a limit is passed

Rules of counting. Code lines are lines of `src` that hold a token other than a comment or a docstring.
Experiments are counted apart. Files are the .py files of `src`. A file name is used twice where two files
of `src` share it (`__init__.py` and `__main__.py` left out). Annotations are those of parameters and
returns in which the name `Any` occurs. Lines of tests are raw lines. A circle is a set of files that
import one another, in any function and under any condition; a name that is imported from a package counts
as an import of the file that defines it. A base dependency is unused where no file of `src` imports it.
"""

import argparse
import ast
import collections
import io
import pathlib
import re
import sys
import tokenize
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
LIMITS = {"files": 300, "file names used twice": 12, "circles": 0, "unused base dependencies": 0}
TESTS_TO_SOURCE = 0.55
IMPORTED_AS: dict[str, str] = {}


def code_lines(text: str) -> int:
    """Lines that hold code: no blanks, comments or docstrings."""
    docstrings = set()
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            docstrings.update(range(node.lineno, node.end_lineno + 1))
    held = set()
    silent = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in silent:
            held.update(range(token.start[0], token.end[0] + 1))
    return len(held - docstrings)


def annotated_any(text: str) -> int:
    """Parameters and returns whose annotation names `Any`."""
    count = 0
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            spec = node.args
            parameters = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
            annotations = [one.annotation for one in parameters if one is not None] + [node.returns]
            count += sum(
                one is not None and bool(re.search(r"\bAny\b", ast.unparse(one))) for one in annotations
            )
    return count


def module_name(path: pathlib.Path) -> str:
    """The dotted name of a file of `src`."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def statements(name: str, path: pathlib.Path) -> list[tuple[str, str | None]]:
    """(module, name) for each thing that a file imports; name None where it is the module itself."""
    tree, found = ast.parse(path.read_text()), []
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found += [(module, alias.name) for alias in node.names]
    return found


def graph(files: dict[str, pathlib.Path]) -> dict[str, set[str]]:
    """The files that each file imports, a name of a package resolved to the file that defines it."""
    imports = {name: statements(name, path) for name, path in files.items()}
    bound = {
        name: {item: module for module, item in imports[name] if item}
        for name, path in files.items()
        if path.name == "__init__.py"
    }

    def target(module: str, name: str | None) -> str | None:
        if name and f"{module}.{name}" in files:
            return f"{module}.{name}"
        if module in bound and name in bound[module] and bound[module][name] != module:
            return target(bound[module][name], name)
        return module if module in files else None

    edges = {name: {target(*item) for item in items} - {None, name} for name, items in imports.items()}
    return {name: found for name, found in edges.items()}


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected sets of more than one file (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            members = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(members) > 1:
                found.append(sorted(members))

    sys.setrecursionlimit(10_000)
    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def unused_dependencies(files: dict[str, pathlib.Path]) -> list[str]:
    """Base dependencies of pyproject.toml that no file of `src` imports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=\[;~! ]", line)[0] for line in project["dependencies"]]
    imported = {module.split(".")[0] for name, path in files.items() for module, _ in statements(name, path)}
    return [name for name in names if IMPORTED_AS.get(name, name).replace("-", "_") not in imported]


def measure() -> dict[str, object]:
    """All numbers, by name."""
    paths = sorted(SOURCE.rglob("*.py"))
    experiments = sorted((ROOT / "experiments").rglob("*.py"))
    files = {module_name(path): path for path in paths}
    names = collections.Counter(path.name for path in paths)
    raw_source = sum(path.read_text().count("\n") for path in paths)
    raw_tests = sum(path.read_text().count("\n") for path in (ROOT / "tests").rglob("*.py"))
    twice = sorted(
        name for name, count in names.items() if count > 1 and name not in {"__init__.py", "__main__.py"}
    )
    return {
        "code lines": sum(code_lines(path.read_text()) for path in paths),
        "code lines of experiments": sum(code_lines(path.read_text()) for path in experiments),
        "files": len(paths),
        "file names used twice": twice,
        "Any annotations": sum(annotated_any(path.read_text()) for path in paths),
        "lines of source": raw_source,
        "lines of tests": raw_tests,
        "tests to source": round(raw_tests / raw_source, 3),
        "circles": circles(graph(files)),
        "unused base dependencies": unused_dependencies(files),
    }


def main() -> int:
    """Print the numbers; with --check, return 1 where one of them is beyond its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    checked, numbers = parser.parse_args().check, measure()
    failed = 0
    for name, value in numbers.items():
        size = len(value) if isinstance(value, list) else value
        passed = name in LIMITS and size > LIMITS[name]
        failed += passed
        beyond = "  <- BEYOND ITS LIMIT" if passed else ""
        print(f"{name}: {size}{f' (limit {LIMITS[name]})' if name in LIMITS else ''}{beyond}")
        for one in value if isinstance(value, list) else []:
            print("   ", " ".join(one) if isinstance(one, list) else one)
    if numbers["tests to source"] < TESTS_TO_SOURCE:
        failed += 1
        print(f"tests to source below {TESTS_TO_SOURCE}  <- BEYOND ITS LIMIT")
    return bool(failed) if checked else 0


if __name__ == "__main__":
    sys.exit(main())
