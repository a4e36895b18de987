"""Measures stage-in and stage-out with checksum beside `xrdcp --cksum adler32` over one real server; prints ratios.

Both begin with the start of their process and end with the file compared, under a name that was free before: to write
over a file has a price of its own, which differs. Rounds alternate, so that load of the machine hurts both alike.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.speed import size_of
from fixtures.servers.xrootd import XrdServer
from pilotext.model.job import Input
from pilotext.storage.retry import Policy
from pilotext.storage.stage_in import stage_in
from pilotext.storage.stage_out import Upload, stage_out
from pilotext.storage.transfer import ChildMover

FOLDER = "/eos/compass"
SOURCE = "in.raw"
BLOCK = 1 << 20
LEAST = 0.95


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/staging", description=__doc__)
    parser.add_argument("--size", type=size_of, default=size_of("1G"), help="of the file, as 300M or 1G (default: 1G)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median is taken (default: 5)")
    options = parser.parse_args(words)
    if missing := [name for name in ("xrootd", "xrdcp") if shutil.which(name) is None]:
        print(f"{' and '.join(missing)} must be installed (Debian: xrootd-server, xrootd-client).", file=sys.stderr)
        return 64
    with tempfile.TemporaryDirectory(prefix="pilotext-benchmark-") as name:
        root = Path(name)
        root.chmod(0o755)
        for folder in ("server", "client"):
            (root / folder).mkdir()
        with XrdServer(root / "server", [(FOLDER, "r/w")]) as server:
            _compare(server, root / "client", options.size, options.rounds)
    return 0


def _compare(server: XrdServer, folder: Path, size: int, rounds: int) -> None:
    source = server.store / FOLDER[1:] / SOURCE
    _write(source, size)
    server.give_to_server()
    shutil.copyfile(source, folder / "out.raw")
    pairs: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "stage-in": (
            lambda: _stage_in(server.url(f"{FOLDER}/{SOURCE}"), folder),
            lambda: _xrdcp(server.url(f"{FOLDER}/{SOURCE}"), str(folder / "theirs.raw")),
        ),
        "stage-out": (
            lambda: _stage_out(folder / "out.raw", server.url(f"{FOLDER}/ours/")),
            lambda: _xrdcp(str(folder / "out.raw"), server.url(f"{FOLDER}/theirs.raw")),
        ),
    }
    for name, (ours, theirs) in pairs.items():
        took = [(_seconds(ours, server), _seconds(theirs, server)) for _ in range(rounds + 1)][
            1:
        ]  # after filled caches
        own, other = (median(column) for column in zip(*took, strict=True))
        ratio = median(their / our for our, their in took)
        print(f"{name}: pilotext {size / own / 1e6:.0f} MB/s, xrdcp {size / other / 1e6:.0f} MB/s, {size / 1e6:.0f} MB")
        print(f"{name}: {ratio:.2f} x the rate of xrdcp (at least {LEAST})", flush=True)


def _stage_in(url: str, folder: Path) -> None:
    with ChildMover(stall_s=300) as mover:
        stage_in(Input("ours.raw", (url,)), folder, mover, Policy(tries=1))
    (folder / "ours.raw").unlink()


def _stage_out(path: Path, folder: str) -> None:
    upload = Upload(name=path.name, path=path, destinations=(folder,), published_name=path.name)
    with ChildMover(stall_s=300) as mover:
        stage_out([upload], tag="benchmark-1-1", mover=mover, policy=Policy(tries=1))


def _xrdcp(source: str, target: str) -> None:
    subprocess.run(["xrdcp", "--nopbar", "--force", "--cksum", "adler32", source, target], check=True)
    if target.startswith("/"):
        Path(target).unlink()


def _seconds(action: Callable[[], None], server: XrdServer) -> float:
    begin = time.perf_counter()
    action()
    took = time.perf_counter() - begin
    for written in (server.store / FOLDER[1:]).rglob("*.raw"):
        if written.name != SOURCE:
            written.unlink()
    return took


def _write(path: Path, size: int) -> None:
    block = random.Random(588).randbytes(BLOCK)  # noqa: S311  nothing secret
    with path.open("wb") as stream:
        for start in range(0, size, BLOCK):
            stream.write(block[: size - start])


if __name__ == "__main__":
    sys.exit(main())
