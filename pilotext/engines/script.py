"""Script of a batch job: it starts our agent, or an unmodified pilot, on a node."""

from __future__ import annotations

import shlex
import sys

from pilotext.engines.base import Engine
from pilotext.engines.settings import FactoryFile, LabelSettings

_HEAD = """\
#!/bin/sh
# Made by `pilotext factory` {factory} for its label {label}; changes are overwritten.
began=$(date +%s)
id={job_id}
[ -n "$id" ] || id=$(uname -n)-$$
end={end}
[ -n "$end" ] || end=$((began + {wall}))
work="{scratch}/pilotext-{name}-$(id -u)"
mkdir -p -m 700 "$work" && [ -O "$work" ] || {{ echo "$work is not a folder of ours" >&2; exit 1; }}
"""

_AGENT = """\
export PILOTEXT_SERVER={server}
export PILOTEXT_TOKEN_FILE={token_file}
cd "$work" || exit 1
exec {program} agent --verbose --site {site} --slots {slots} --workdir "$work" --name "{name}.$id" \\
    --until $((end - {warn})) --stop-within {stop_within} --idle {idle}{jobs}
"""

# A pilot passes these two on when it asks for a job; Harvester, for which they are meant, is not needed for that.
_PILOT = """\
export HARVESTER_ID="{name}" HARVESTER_WORKER_ID="$id"
mkdir -p "$work/$id" && cd "$work/$id" || exit 1
{pilot} &
pilot=$!
trap 'kill -TERM $pilot' TERM INT USR2
while :; do
    wait $pilot
    status=$?
    kill -0 $pilot 2>/dev/null || break
done
cd / && rm -rf "$work/$id"
exit $status
"""


def name_of(file: FactoryFile, label: str) -> str:
    """Return the name of the batch jobs of a label, by which they are found again."""
    return f"{file.name}.{label}"


def script_of(file: FactoryFile, name: str, engine: Engine) -> str:
    """Return the script of the batch jobs of a label."""
    label = file.labels[name]
    words = {
        "factory": file.name,
        "label": name,
        "name": name_of(file, name),
        "job_id": f'"{engine.job_id}"',
        "end": engine.end or '""',
        "wall": int(label.wall_s),
        "scratch": label.scratch,
        "warn": int(label.warn_s),
    }
    exports = [f"export {each}={shlex.quote(value)}\n" for each, value in label.environment.items()]
    setup = f". {shlex.quote(label.setup)} || exit 1\n" if label.setup else ""
    return "".join([_HEAD.format(**words), *exports, setup, _command(file, label, words)])


def _command(file: FactoryFile, label: LabelSettings, words: dict[str, object]) -> str:
    if label.pilot:
        return _PILOT.format(**words, pilot=shlex.join(label.pilot))
    program = label.program or (sys.executable, "-P", "-X", "utf8", "-m", "pilotext")
    jobs = "" if label.max_jobs_of_agent is None else f" --jobs {label.max_jobs_of_agent}"
    return _AGENT.format(
        **words,
        server=shlex.quote(file.server),
        token_file=shlex.quote(file.token_file),
        program=shlex.join(program),
        site=shlex.quote(label.site),
        slots=label.slots,
        stop_within=f"{label.stop_within_s:g}",
        idle=f"{label.idle_s:g}",
        jobs=jobs,
    )
