"""Atheris on logs and rule files: it looks for bytes that end in anything but a verdict or an error of ours.

    .venv/bin/python tests/fuzz/atheris_logs.py [OPTIONS OF LIBFUZZER] [FILE THAT BROKE IT]

The first byte says what the others are: an even one a log, an odd one a rule file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit(f"Atheris is not installed for Python {sys.version.split()[0]}: bin/prepare uproot test soak")

with atheris.instrument_imports(include=["pilotext"]):
    from pilotext.classify import classify_files
    from pilotext.errors import RuleFilesError
    from pilotext.model.verdict import ExitStatus
    from pilotext.profile import PROFILE, find_rules_root
    from pilotext.rules.lint.runner import lint
    from pilotext.rules.loader import load_rules

HOUSE = Path(__file__).resolve().parents[2]
RULES = load_rules("COMPASS")
LARGEST_SEED = 8192


def seeds() -> list[bytes]:
    """Logs and rule files that are genuine, or the begin of them."""
    logs = sorted((HOUSE / "fixtures" / "logs").glob("*/std*"))
    files = [path for path in sorted(find_rules_root().glob("*/*.yaml")) if path.name != PROFILE]
    return [b"\0" + path.read_bytes()[:LARGEST_SEED] for path in logs] + [
        b"\1" + path.read_bytes()[:LARGEST_SEED] for path in files
    ]


def one_input(folder: Path, data: bytes) -> None:
    if data[:1] and data[0] % 2:
        read_rules(folder, data[1:])
    else:
        read_log(folder, data[1:])


def read_log(folder: Path, data: bytes) -> None:
    path = folder / "stderr"
    path.write_bytes(data)
    streams = {"stdout": path, "stderr": path}
    kind, job_type = "reconstruction", "mass production"
    classify_files(RULES, kind=kind, job_type=job_type, streams=streams, exit=ExitStatus(code=0))


def read_rules(folder: Path, data: bytes) -> None:
    path = folder / "rules" / "common" / "fuzzed.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    try:
        load_rules("COMPASS", [folder / "rules"])
    except RuleFilesError:
        lint([path])


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "corpus").mkdir()
        for number, seed in enumerate(seeds()):
            (folder / "corpus" / str(number)).write_bytes(seed)
        given = [] if any(Path(word).is_file() for word in sys.argv[1:]) else [str(folder / "corpus")]
        atheris.Setup([*sys.argv, *given], lambda data: one_input(folder, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
