"""The import graph is the architecture: a module may import its own layer and the layers listed before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"lance_fmt": "lance_fmt", "vego": "vego", "tools": "vego_tools"}  # folder -> import name

LAYERS = [  # lowest first; a module belongs to the longest prefix that names it
    {"lance_fmt.kernels"},
    {
        "lance_fmt.errors",
        "lance_fmt.constants",
        "lance_fmt.wire",
        "lance_fmt.checksum",
        "lance_fmt.arena",
        "lance_fmt.misfit",
        "lance_fmt.datatype",
        "lance_fmt.schema",
        "lance_fmt.times",
        "lance_fmt.decimals",
        "lance_fmt.bfloats",
        "lance_fmt.inference",
        "lance_fmt.arrays",
        "lance_fmt.pyvalues",
        "lance_fmt.column",
        "lance_fmt.display",
        "lance_fmt.zones",
        "lance_fmt.lazy",
        "lance_fmt.optional",
    },
    {"lance_fmt.encodings"},
    {"lance_fmt.v1", "lance_fmt.filter", "lance_fmt.block", "lance_fmt.coded", "lance_fmt.zonemap"},
    {"lance_fmt"},
    {"lance_fmt.interop"},
    {
        "vego.errors",
        "vego.options",
        "vego.vector_type",
        "vego.names",
        "vego.document",
        "vego.progress",
        "vego.query",
        "vego.display",
    },
    {"vego.store"},
    {"vego.maintenance"},
    {"vego.wal"},
    {"vego.table"},
    {"vego.index.kernels"},
    {"vego.index"},
    {
        "vego.planner",
        "vego.search",
        "vego.hits",
        "vego.index_report",
        "vego.inputs",
        "vego.queries",
        "vego.readable",
        "vego.transaction",
        "vego.collection",
        "vego.database",
        "vego.repair",
        "vego.salvaging",
        "vego.backup",
        "vego.verification",
    },
    {"vego"},
    {"vego_tools"},
    {"vego.cli"},
]
KERNELS = ("lance_fmt.kernels", "vego.index.kernels")
KERNELS_MAY_IMPORT = (
    *KERNELS,
    "numpy",
    "numba",
    "llvmlite",
    "ctypes",
    "__future__",
    "math",
    "typing",
    "functools",
    "collections.abc",
)
CODE_CACHE_MAY_IMPORT = ("hashlib", "pathlib")  # it is no kernel, but keeps their code


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def layer(module: str) -> int:
    return max(
        (len(name), level) for level, group in enumerate(LAYERS) for name in group if within(module, name)
    )[1]


def modules() -> Iterator[tuple[Path, str]]:
    for folder, package in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            yield path, ".".join((package, *parts)).removesuffix(".__init__")


def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def imports(path: Path) -> list[tuple[int, str]]:
    # ast.walk sees function-local and TYPE_CHECKING imports too: a hidden upward import is still one.
    found = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: use absolute imports"
            assert node.module is not None
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.append((node.lineno, name if name in NAMES else node.module))
    return found


def named(path: Path) -> Iterator[str]:
    """Texts that may name a module: tables of commands and formats import theirs when they are asked for."""
    for node in nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.partition(":")[0]  # "module:name" too
            # Or one beside the table itself.
            yield ".".join((*path.parent.relative_to(ROOT).parts, node.value)).replace(
                "tools", "vego_tools", 1
            )


ALL = list(modules())
NAMES = {module for _, module in ALL}


def test_imports_point_downward() -> None:
    bad = []
    for path, module in ALL:
        for line, target in imports(path):
            if any(within(target, name) for name in PACKAGES.values()) and layer(target) > layer(module):
                bad.append(f"{path.relative_to(ROOT)}:{line}: {module} imports {target}, which is above it")
    assert not bad, "\n".join(bad)


def test_an_upward_import_is_noticed() -> None:
    assert (
        layer("vego.collection")
        > layer("vego.table.manifest")
        > layer("vego.store.local")
        > layer("lance_fmt.reader")
    )
    assert layer("lance_fmt.reader") > layer("lance_fmt.v1.plain") > layer("lance_fmt.wire")


def test_kernels_stand_alone() -> None:
    bad = [
        f"{path.relative_to(ROOT)}:{line}: kernel imports {target}"
        for path, module in ALL
        if any(within(module, name) for name in KERNELS)
        for line, target in imports(path)
        if not any(within(target, name) for name in KERNELS_MAY_IMPORT)
        and not (module == "lance_fmt.kernels.code_cache" and target in CODE_CACHE_MAY_IMPORT)
    ]
    assert not bad, "\n".join(bad)


def test_vego_uses_public_names_of_the_format_only() -> None:
    # The settings of numba, and how names are imported when first asked for, are one for both packages.
    # So are texts of files made fit to be shown.
    allowed = (
        "lance_fmt.kernels.decorator",
        "lance_fmt.lazy",
        "lance_fmt.optional",
        "lance_fmt.display",
        "lance_fmt.interop.duckdb",
    )
    bad = [
        f"{path.relative_to(ROOT)}:{line}: {target}"
        for path, module in ALL
        if not within(module, "lance_fmt")
        for line, target in imports(path)
        if within(target, "lance_fmt") and target != "lance_fmt" and target not in allowed
    ]
    assert not bad, "\n".join(bad)


def test_only_the_store_talks_to_the_operating_system() -> None:
    """One seam for files, clock and randomness, so that a simulated one can take its place."""
    system = (
        "os",
        "io",
        "fcntl",
        "mmap",
        "time",
        "random",
        "uuid",
        "secrets",
        "tempfile",
        "shutil",
        "socket",
    )
    talkers = ("vego.store", "vego.cli", "vego.index.threads")  # the last asks how many processors there are
    bad = [
        f"{path.relative_to(ROOT)}:{line}: {target}"
        for path, module in ALL
        if within(module, "vego") and not any(within(module, name) for name in talkers)
        for line, target in imports(path)
        if any(within(target, name) for name in system)
    ]
    assert not bad, "\n".join(bad)


def test_no_module_is_left_over() -> None:
    used = {target for path, _ in ALL for _, target in imports(path)}
    used |= {name for path, _ in ALL for name in named(path)}
    entries = {
        "vego.cli",
        "vego.cli.__main__",
        "vego_tools",
        "vego_tools.demo.make_sample",
        "lance_fmt.aio",
        "lance_fmt.uring",
        "vego",
        "lance_fmt",
    }
    packages = {module for path, module in ALL if path.name == "__init__.py"}
    unused = {module for _, module in ALL} - used - entries - packages
    assert not unused, f"nobody imports {sorted(unused)}"


def test_no_room_without_a_name() -> None:
    vague = {"utils", "util", "common", "core", "helpers", "helper", "misc", "base_utils"}
    assert not [module for _, module in ALL if vague & set(module.split("."))]


def test_nothing_evaluates_or_unpickles() -> None:
    forbidden = {"pickle", "marshal", "shelve", "joblib", "dill", "cloudpickle", "yaml"}
    bad = []
    for path, _ in ALL:
        bad += [
            f"{path}:{line}: {target}" for line, target in imports(path) if target.split(".")[0] in forbidden
        ]
        for node in nodes(path):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"eval", "exec"}
            ):
                bad.append(f"{path}:{node.lineno}: {node.func.id}")
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                bad.append(f"{path}:{node.value.lineno}: allow_pickle")
    assert not bad, "\n".join(bad)
