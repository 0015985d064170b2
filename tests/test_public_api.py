"""The public names and signatures; a change here is a change users see, and belongs in the CHANGELOG."""

from __future__ import annotations

import inspect
import pkgutil
import subprocess
import sys

import lance_fmt
import vego

VEGO = {
    "BackupReport", "Finding", "RestoreReport", "VerifyReport", "restore", "verify",
    "BatchResult", "ClosedError", "Collection", "CollectionNotFoundError", "CommitConflictError",
    "CommitUncertainError", "CorruptionError", "Database", "DatabaseError", "DatabaseLockedError",
    "DimensionMismatchError", "Document", "DocumentNotFoundError", "DuplicateIdError", "Expr", "FilterError",
    "FilterSyntaxError", "Hit", "Hits", "InvalidArgumentError", "InvalidIdError", "InvalidMetadataError",
    "InvalidVectorError", "NewerVersionError", "NotADatabaseError", "NotFoundError", "Open", "Outcome", "Plan",
    "CompactionReport", "IndexReport", "PartitionInfo", "SearchCancelledError", "SearchStoppedError",
    "SearchTimeoutError", "Rejected", "Transaction", "Version", "PoisonedError",
    "ReadOnlyError", "StorageError", "UnknownFieldError", "UnknownOptionError", "VegoError", "__version__", "field",
    "close_on_sigterm", "open",
}  # fmt: skip
SIGNATURES = {
    "open": "(path, *, dimension=None, metric='cosine', read_only=False, create=True, durability='sync', "
    "interval_ms=None, background=True, shared=False, **options)",
    "restore": "(backup, path, *, until=None, progress=False)",
    "verify": "(path, *, deep=False, progress=False)",
    "Document": "(id=None, vector=None, metadata=<factory>)",
    "Database.collection": "(self, name, *, dimension=None, metric=None, create=True, **options)",
    "Database.branch": "(self, source, name, *, version=None, timestamp=None, tag=None)",
    "Database.collections": "(self)",
    "Database.drop": "(self, name)",
    "Database.refresh": "(self)",
    "Database.backup": "(self, path, *, base=None, link=False, history=False, progress=False)",
    "Database.stats": "(self)",
    "Database.close": "(self)",
    "Collection.insert": "(self, document=None, *, id=None, vector=None, metadata=None)",
    "Collection.insert_batch": "(self, documents=None, *, ids=None, vectors=None, metadata=None, id_column='id', "
    "vector_column='vector', progress=False)",
    "Collection.upsert": "(self, document=None, *, id=None, vector=None, metadata=None)",
    "Collection.upsert_batch": "(self, documents=None, *, ids=None, vectors=None, metadata=None, id_column='id', "
    "vector_column='vector', progress=False)",
    "Collection.update": "(self, id, *, vector=None, metadata=None)",
    "Collection.delete": "(self, id)",
    "Collection.delete_batch": "(self, ids)",
    "Collection.get": "(self, id)",
    "Collection.get_batch": "(self, ids)",
    "Collection.search": "(self, vector, k=10, *, filter=None, max_distance=None, ef=None, rerank=None, "
    "target_recall=None, exact=False, timeout=None, cancel=None)",
    "Collection.search_range": "(self, vector, max_distance, *, filter=None, limit=None, target_recall=None, "
    "exact=False, timeout=None, cancel=None)",
    "Collection.search_batch": "(self, vectors, k=10, *, filter=None, ef=None, rerank=None, target_recall=None, "
    "exact=False, threads=None, timeout=None, cancel=None)",
    "Collection.explain": "(self, vector, k=10, *, filter=None, ef=None, rerank=None, target_recall=None, exact=False)",
    "Collection.index_report": "(self)",
    "Collection.stats": "(self)",
    "Collection.to_table": "(self, columns=None, *, filter=None)",
    "Collection.flush": "(self)",
    "Collection.build_index": "(self, progress=False)",
}


def test_names() -> None:
    assert set(vego.__all__) == VEGO
    assert vego.__all__ == sorted(vego.__all__)
    assert vego.Open is vego.open
    for module in (vego, lance_fmt):
        assert all(hasattr(module, name) for name in module.__all__)


def test_no_public_name_is_a_module() -> None:
    """Importing the module would put it in the place of the name, which is looked up when first asked for."""
    for package in (vego, lance_fmt):
        assert not {module.name for module in pkgutil.iter_modules(package.__path__)} & set(package.__all__)


def test_importing_loads_next_to_nothing() -> None:
    code = "import sys, vego, lance_fmt; sys.exit('imported numpy' if 'numpy' in sys.modules else 0)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def bare(signature: inspect.Signature) -> str:
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def test_signatures() -> None:
    for path, expected in SIGNATURES.items():
        found: object = vego
        for part in path.split("."):
            found = getattr(found, part)
        assert bare(inspect.signature(found)) == expected, path  # type: ignore[arg-type]


def test_everything_public_is_documented() -> None:
    for module in (vego, lance_fmt):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                assert inspect.getdoc(thing), name


def test_importing_and_opening_loads_no_compiler(tmp_path: object) -> None:
    code = (
        "import sys, vego, lance_fmt\n"
        f"db = vego.open({str(tmp_path)!r} + '/db', dimension=2)\n"
        "db.collection('c').insert(id='a', vector=[1, 2]); db.close()\n"
        "heavy = {'numba', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
