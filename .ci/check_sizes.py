"""House limits that no linter knows: length of functions and files."""

import ast
import pathlib
import statistics
import sys

LONGEST_FUNCTION, LONGEST_FILE, MEDIAN_FUNCTION = 60, 500, 10


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its signature and docstring."""
    body = node.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    return node.end_lineno - body[0].lineno + 1 if body else 0


def main() -> int:
    """Print what is too long; return the number of findings."""
    findings, lengths = [], []
    for path in sorted([*pathlib.Path("src").rglob("*.py"), *pathlib.Path("experiments").rglob("*.py")]):
        text = path.read_text()
        if text.count("\n") > LONGEST_FILE:
            findings.append(f"{path}: {text.count(chr(10))} lines, limit {LONGEST_FILE}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths.append(body_lines(node))
                if lengths[-1] > LONGEST_FUNCTION:
                    findings.append(f"{path}:{node.lineno} {node.name}: {lengths[-1]} lines")
    if statistics.median(lengths) > MEDIAN_FUNCTION:
        findings.append(f"median function length {statistics.median(lengths)}, limit {MEDIAN_FUNCTION}")
    print(
        "\n".join(findings)
        or f"sizes: {len(lengths)} functions, median {statistics.median(lengths)} lines: fine"
    )
    return len(findings)


if __name__ == "__main__":
    sys.exit(bool(main()))
