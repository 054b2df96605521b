"""Run a command, and print the seconds of its phases as JSON on stderr.

    python -m benchmarks.phases COMMAND [ARGUMENTS]

"import" ends where the command begins, with JAX unless it is --help; "trace" and
"compile" are what JAX reports. Imports nothing that would count as the command's.
"""

import json
import runpy
import sys
import time

_TRACING = ("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration")
_COMPILING = ("backend_compile_duration",)


def main() -> None:
    """Run the command that the arguments name."""
    start = time.perf_counter()
    from absl import app

    sys.argv = sys.argv[1:]
    spent = dict.fromkeys(("import", "trace", "compile"), 0.0)
    run = app.run

    def listen(event: str, seconds: float, **_) -> None:
        kind = event.rsplit("/", 1)[-1]
        spent["trace"] += seconds * (kind in _TRACING)
        spent["compile"] += seconds * (kind in _COMPILING)

    def run_measured(command, **options) -> None:
        if "--help" not in sys.argv:
            import jax

            jax.monitoring.register_event_duration_secs_listener(listen)
        spent["import"] = time.perf_counter() - start
        run(command, **options)

    app.run = run_measured
    try:
        name = f"experiments.{sys.argv[0]}"
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    finally:
        phases = {f"{phase}_seconds": value for phase, value in spent.items()}
        print(f"\n{json.dumps(phases)}", file=sys.stderr)


if __name__ == "__main__":
    main()
