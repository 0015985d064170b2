"""The targets of `fuzz.run`, led by coverage: `python -m fuzz.guided TARGET [--seconds S] [-- libfuzzer flags]`.

Needs `pip install -e '.[fuzz]'`, which atheris limits to Linux and macOS. Inputs that reach something new are kept in
a folder of their own (`--work`), findings in `fuzz/corpus/<target>/`. Several targets run one after the other,
each in its own process. Exit status 1 if there was a finding.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuzz.target import Target

CORPUS = Path(__file__).parent / "corpus"
MEMORY_MB = 2048
SECONDS_PER_INPUT = 10
MOST_BYTES = 1 << 16
# Bytecode of kernels is numba's, which does not know the calls that coverage puts into it.
_KERNELS = ["lance_fmt.kernels", "vego.index.kernels"]


def fuzz(name: str, flags: list[str]) -> None:
    """Feed a target in this process; never returns."""
    import atheris

    target = _instrumented(atheris, name)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        import random

        rng = random.Random(seed)
        if rng.random() < 0.5:
            return target.mutate(data, rng)[:max_size]
        return target.finish(atheris.Mutate(data, len(data)))[:max_size]

    atheris.Setup([sys.argv[0], *flags], target.check, custom_mutator=mutate)
    atheris.Fuzz()


def _instrumented(atheris: ModuleType, name: str) -> Target:
    """The target, its seeds read (kernels compiled) before anything is measured."""
    with atheris.instrument_imports(include=["lance_fmt", "vego"], exclude=_KERNELS):
        from fuzz.targets import CANARIES, TARGETS
    target = {**TARGETS, **CANARIES}[name]
    for seed in target.seeds() if name in TARGETS else []:
        target.check(seed)
    return target


def _write_seeds(name: str, folder: Path) -> None:
    from fuzz.targets import CANARIES, TARGETS

    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate({**TARGETS, **CANARIES}[name].seeds()):
        (folder / f"seed-{number:03}").write_bytes(seed)


def run(name: str, flags: list[str], *, seconds: float, seed: int, work: Path, findings: Path) -> int:
    """Fuzz one target in a process of its own; its exit status."""
    folders = work / name, work / "seeds" / name, CORPUS / name
    _write_seeds(name, folders[1])
    folders[0].mkdir(parents=True, exist_ok=True)
    (findings / name).mkdir(parents=True, exist_ok=True)
    made = [
        f"-max_total_time={max(1, int(seconds))}",
        f"-seed={seed}",
        f"-max_len={MOST_BYTES}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-timeout={SECONDS_PER_INPUT}",
        f"-artifact_prefix={findings / name}{os.sep}",
        "-print_final_stats=1",
    ]
    existing = [str(folder) for folder in folders if folder.exists()]
    command = [sys.executable, "-m", "fuzz.guided", "--child", name, "--", *made, *flags, *existing]
    return subprocess.run(command, check=False).returncode


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    flags = arguments[cut + 1 :]
    parser = argparse.ArgumentParser(prog="fuzz.guided", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all by default")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "vego-fuzz")
    parser.add_argument("--findings", type=Path, default=CORPUS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments[:cut])
    if options.child:
        fuzz(options.targets[0], flags)
    from fuzz.targets import CANARIES, TARGETS

    if unknown := set(options.targets) - set(TARGETS) - set(CANARIES):
        parser.error(f"no target {', '.join(sorted(unknown))}")
    names = options.targets or list(TARGETS)
    failed = [
        name
        for name in names
        if run(
            name,
            flags,
            seconds=options.seconds / len(names),
            seed=options.seed,
            work=options.work,
            findings=options.findings,
        )
    ]
    if failed:
        print(f"findings in {', '.join(failed)}: see {options.findings}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
