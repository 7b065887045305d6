"""Which code a stage runs, as one hash: part of the stage's cache key.

A stage's code is what its body's module reaches by static import inside our packages, and the
files of data/sql and data/seeds that a string literal in a reached module names: "marts/prompts",
"support_desk.toml", or the beginning of a name with its folder, so that "staging/" takes a folder
and f"marts/pairs_{mode}" every file that it may load.

Modules are parsed, never imported. They are compared as syntax trees without positions and
docstrings, so comments, blank lines and formatting change nothing; other files by bytes. Imports
inside functions count, those under TYPE_CHECKING do not.

Omitted on purpose: imports by computed name, which nobody in these packages may use for code
that decides a result, and third-party code: the versions of the libraries that a stage reaches
enter its cache key (see stage.py).
"""

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

PACKAGES = ("rlhf_core", "data", "tasks", "flows")
RESOURCE_FOLDERS = ("data/sql", "data/seeds")
# Third-party modules whose version can change a payload byte, each named as its distribution;
# torch is not among them, for it counts with device and threads (see caching.numerics_tag).
LIBRARIES = frozenset(
    {
        "duckdb",
        "numpy",
        "polars",
        "safetensors",
        "textblob",
        "tokenizers",
        "transformers",
        "vaderSentiment",
    }
)

# How a stage is run, logged and stored, but not what it computes: none of these can change a
# payload byte, and in every stage's digest they would rerun the whole pipeline at each edit.
PLUMBING = frozenset(
    {
        "tasks",
        "tasks.artifacts",
        "tasks.caching",
        "tasks.code_digest",
        "tasks.context",
        "tasks.engine",
        "tasks.ledger",
        "tasks.metrics_feed",
        "tasks.outputs",
        "tasks.plots",
        "tasks.produce",
        "tasks.progress",
        "tasks.ranking_plots",
        "tasks.stage",
        "tasks.stage_log",
        "tasks.tracking",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCode:
    """The code of one stage.

    Attributes:
        files: {path relative to the root: sha256 of what matters in it}, sorted by path.
        uses_torch: Whether a reached module imports torch, so that numerics matter.
        libraries: Those of LIBRARIES that a reached module imports.
    """

    files: dict[str, str]
    uses_torch: bool
    libraries: frozenset[str]

    @property
    def digest(self) -> str:
        """One sha256 over all files, in hex."""
        lines = "".join(f"{path}\0{sha}\n" for path, sha in self.files.items())
        return hashlib.sha256(lines.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    path: str
    sha256: str
    imports: frozenset[str]
    literals: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resource:
    path: str
    name: str
    sha256: str

    def is_named_by(self, literal: str) -> bool:
        """Whether a string in the source names this file, or the beginning of its name."""
        if "/" in literal:
            return self.name.startswith(literal)
        return literal == self.name


@dataclass(kw_only=True)
class SourceTree:
    """The source files under `root`; each is read and parsed once in the life of this object."""

    root: Path
    packages: tuple[str, ...] = PACKAGES
    _parsed: dict[str, _Module] = field(default_factory=dict, repr=False)

    def code_of(self, module: str) -> StageCode:
        """The code that `module` reaches, itself included.

        Args:
            module: Dotted name of the module that holds a stage's body.

        Raises:
            ValueError: The module is not a file in one of the packages.
        """
        reached = self._reach(module)
        if module not in reached:
            raise ValueError(f"module {module} is not a file in {', '.join(self.packages)}")
        files: dict[str, str] = {}
        for parsed in reached.values():
            files[parsed.path] = parsed.sha256
            for literal in parsed.literals:
                files.update({r.path: r.sha256 for r in self._resources if r.is_named_by(literal)})
        external = {name.partition(".")[0] for m in reached.values() for name in m.imports}
        return StageCode(
            files=dict(sorted(files.items())),
            uses_torch="torch" in external,
            libraries=LIBRARIES & external,
        )

    def _reach(self, module: str) -> dict[str, _Module]:
        reached: dict[str, _Module] = {}
        waiting = [module]
        while waiting:
            name = waiting.pop()
            path = self._file(name)
            if name in reached or name in PLUMBING or path is None:
                continue
            reached[name] = self._parse(name, path)
            # Importing a.b.c runs a/__init__.py and a/b/__init__.py too.
            for target in (name, *reached[name].imports):
                parts = target.split(".")
                if parts[0] in self.packages:
                    waiting += [".".join(parts[: i + 1]) for i in range(len(parts))]
        return reached

    def _file(self, module: str) -> Path | None:
        if module.partition(".")[0] not in self.packages:
            return None
        stem = self.root.joinpath(*module.split("."))
        candidates = (stem / "__init__.py", stem.with_suffix(".py"))
        return next((path for path in candidates if path.is_file()), None)

    def _parse(self, module: str, path: Path) -> _Module:
        if module not in self._parsed:
            name = path.relative_to(self.root).as_posix()
            self._parsed[module] = _parse_source(name, path.read_text(encoding="utf-8"))
        return self._parsed[module]

    @cached_property
    def _resources(self) -> list[_Resource]:
        return [
            _Resource(
                path=path.relative_to(self.root).as_posix(),
                name=path.relative_to(self.root / folder).as_posix(),
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            )
            for folder in RESOURCE_FOLDERS
            for path in sorted((self.root / folder).rglob("*"))
            if path.is_file() and path.suffix != ".py"
        ]


def _parse_source(path: str, source: str) -> _Module:
    tree = ast.parse(source)
    _drop_docstrings(tree)
    nodes = list(_walk_at_run_time(tree))
    literals = (n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return _Module(
        path=path,
        sha256=hashlib.sha256(ast.dump(tree).encode()).hexdigest(),
        imports=frozenset(name for node in nodes for name in _imported_names(node)),
        literals=frozenset(literals),
    )


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                del node.body[0]


def _walk_at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below `node`, except what only a type checker sees."""
    yield node
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        children: list[ast.AST] = list(node.orelse)
    else:
        children = list(ast.iter_child_nodes(node))
    for child in children:
        yield from _walk_at_run_time(child)


def _imported_names(node: ast.AST) -> Iterator[str]:
    """Every module that an import statement may load; `from a import b` may load a.b."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
