"""Several processes as one run: on one machine, in a SLURM job, on a TPU slice.

Who a process is comes from its environment alone, without flags:

- VGG_UNPOOL_COORDINATOR, VGG_UNPOOL_PROCESSES and VGG_UNPOOL_PROCESS, which
  `./launch.sh local` sets for processes on one machine;
- the variables that `srun` gives the tasks of a SLURM step;
- VGG_UNPOOL_CLUSTER=tpu, which `./launch.sh tpu` sets, or being on a TPU VM: there JAX
  asks the machine's metadata.

Without any of these, or with one process only, nothing is joined.
"""

import dataclasses
import os
import re
from collections.abc import Mapping

import jax

from vgg_unpool_jax.errors import UserError

_COORDINATOR = "VGG_UNPOOL_COORDINATOR"
_COUNT = "VGG_UNPOOL_PROCESSES"
_INDEX = "VGG_UNPOOL_PROCESS"
_LOCAL = (_COORDINATOR, _COUNT, _INDEX)
_CLUSTER = "VGG_UNPOOL_CLUSTER"

# Without one of these JAX takes the task of a step for a program of its own.
_SLURM = (
    "SLURM_JOB_ID",
    "SLURM_STEP_NODELIST",
    "SLURM_NTASKS",
    "SLURM_PROCID",
    "SLURM_LOCALID",
)
_SLURM_TASKS = "SLURM_STEP_NUM_TASKS"
_SLURM_PER_NODE = "SLURM_STEP_TASKS_PER_NODE"

SINGLE, LOCAL, SLURM, TPU = "single", "local", "slurm", "tpu"


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the environment says of the processes of a run.

    Attributes:
      kind: SINGLE, LOCAL, SLURM or TPU.
      count: number of processes; of a TPU 1, it is known only after joining.
      index: which of them this is.
      here: how many of them are on this machine.
      address: HOST:PORT of process 0, or None where JAX finds it out.
      device_ids: which GPUs of the visible ones are this process's; empty for all, None
        for the choice of JAX. Of no effect on a CPU.
    """

    kind: str = SINGLE
    count: int = 1
    index: int = 0
    here: int = 1
    address: str | None = None
    device_ids: tuple[int, ...] | None = None


# What the transports and the coordination service say when a process has gone.
_GONE = re.compile(
    r"(gloo|nccl).*(connect|reset|closed|remote|timed? ?out)|broken pipe|socket closed|"
    r"connection (reset|closed|refused)|heartbeat|failed to send RPC|barrier timed out",
    re.IGNORECASE | re.DOTALL,
)
_HERE = re.compile(r"out of memory|exhausted|invalid|mismatch", re.IGNORECASE)


def explain_loss(error: Exception) -> str | None:
    """One sentence for what a process meets when another one of the run has gone.

    Args:
      error: that a step or a save ended with.

    Returns:
      The sentence, or None when this is not one of several processes or the error
      speaks of something else.
    """
    said = str(error).strip()
    if not isinstance(error, jax.errors.JaxRuntimeError):
        return None
    if not _GONE.search(said) or _HERE.search(said):
        return None
    if not jax.distributed.is_initialized() or jax.process_count() == 1:
        return None
    return (
        f"process {jax.process_index()} of {jax.process_count()} lost another one "
        f"({said.splitlines()[0]}): what that one said last is the cause; the same "
        "command, started in all, goes on from the newest checkpoint"
    )


def join(*, shares_work: bool = True) -> Layout:
    """Become one of the processes of a run; does nothing where there is only one.

    Must come before anything that starts JAX's backend, as asking for its devices does.
    From then on JAX notices SIGTERM, for `runtime/preemption.py` to ask: it ends the
    process no longer.

    Args:
      shares_work: False refuses several processes, for a program that would do the same
        in each.

    Returns:
      The layout that was joined.
    """
    layout = read_layout()
    if not shares_work and layout.count > 1:
        _refuse_several(layout.count)
    if layout.kind == SINGLE:
        return layout
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(**_arguments(layout))
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        raise UserError(_unreachable(layout, error)) from error
    if not shares_work and jax.process_count() > 1:
        _refuse_several(jax.process_count())
    return layout


def read_layout(environment: Mapping[str, str] = os.environ) -> Layout:
    """Who this process is, by its environment; starts nothing."""
    local = [name for name in _LOCAL if environment.get(name)]
    cluster = environment.get(_CLUSTER, "")
    if cluster not in ("", TPU):
        raise UserError(f"{_CLUSTER} must be {TPU} or not set, got {cluster!r}")
    slurm = _slurm_count(environment)
    if local:
        if cluster:
            raise UserError(
                f"{_CLUSTER} is {cluster} and {local[0]} is set too: wanted one of them"
            )
        layout = _local_layout(environment)
        if layout.count > 1 and slurm > 1:
            raise UserError(
                f"{_SLURM_TASKS} is {slurm} and {_COUNT} is {layout.count}: wanted one "
                "task where the processes are started by `./launch.sh local`"
            )
        return layout
    if cluster:
        return Layout(TPU)
    if slurm > 1:
        return _slurm_layout(environment, slurm)
    return Layout(TPU) if _is_on_tpu(environment) else Layout()


def _is_on_tpu(environment) -> bool:
    # Importing JAX sets the first where there are TPU chips and libtpu. The second says
    # that the machine has no metadata to ask: then it is alone.
    return (
        environment.get("TPU_ML_PLATFORM") == "JAX"
        and "TPU_SKIP_MDS_QUERY" not in environment
        and not environment.get("JAX_PLATFORMS", "").startswith("cpu")
    )


def _local_layout(environment) -> Layout:
    for name in _LOCAL:
        if not environment.get(name):
            raise UserError(
                f"{name} is not set: wanted all of {', '.join(_LOCAL)}, or none"
            )
    count = _number(environment, _COUNT, at_least=1)
    index = _number(environment, _INDEX, below=count, limit=_COUNT)
    address = environment[_COORDINATOR]
    if not re.fullmatch(r"[^\s:]+:\d{1,5}", address):
        raise UserError(f"{_COORDINATOR} must be HOST:PORT, got {address!r}")
    if count == 1:
        return Layout()
    return Layout(LOCAL, count, index, count, address, device_ids=(index,))


def _slurm_count(environment) -> int:
    """Tasks of the SLURM step that this process belongs to; 1 outside of any."""
    if environment.get(_SLURM_TASKS):
        # Not SLURM_NTASKS: in the shell of an allocation that is the number of tasks
        # that the allocation is for, and nobody else is started with this process.
        return _number(environment, _SLURM_TASKS, at_least=1)
    if environment.get("SLURM_STEP_NODELIST") and environment.get("SLURM_NTASKS"):
        return _number(environment, "SLURM_NTASKS", at_least=1)
    return 1


def _slurm_layout(environment, count: int) -> Layout:
    for name in (*_SLURM, "SLURM_NODEID", _SLURM_PER_NODE):
        if not environment.get(name):
            raise UserError(
                f"{name} is not set in a SLURM step of {count} tasks: wanted what srun "
                "sets"
            )
    if _number(environment, "SLURM_NTASKS", at_least=1) != count:
        raise UserError(
            f"SLURM_NTASKS is {environment['SLURM_NTASKS']} and {_SLURM_TASKS} is "
            f"{count}: wanted the same number"
        )
    index = _number(environment, "SLURM_PROCID", below=count, limit="SLURM_NTASKS")
    here = _tasks_here(environment)
    local = _number(environment, "SLURM_LOCALID", below=here, limit=_SLURM_PER_NODE)
    ids = _slurm_gpus(environment, here, local)
    return Layout(SLURM, count, index, here, device_ids=ids)


def _tasks_here(environment) -> int:
    """Tasks on this node: SLURM writes "4(x2),3" for nodes of 4, 4 and 3."""
    text, counts = environment[_SLURM_PER_NODE], []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not match:
            raise UserError(f"{_SLURM_PER_NODE} must be like 4(x2),3, got {text!r}")
        counts += [int(match[1])] * int(match[2] or 1)
    node = _number(
        environment, "SLURM_NODEID", below=len(counts), limit=_SLURM_PER_NODE
    )
    return counts[node]


def _slurm_gpus(environment, here: int, local: int) -> tuple[int, ...] | None:
    # JAX gives task i of a node GPU i of those that it sees, which is wrong for one
    # task with all GPUs and where SLURM shows every task a GPU of its own.
    if environment.get("JAX_LOCAL_DEVICE_IDS"):
        return None
    if here == 1:
        return ()
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if not visible:
        return None
    count = len(visible.split(","))
    if count == 1:
        return (0,)
    if count % here:
        raise UserError(
            f"CUDA_VISIBLE_DEVICES names {count} GPUs for {here} tasks of this node: "
            "wanted as many for each"
        )
    share = count // here
    return tuple(range(local * share, (local + 1) * share))


def _number(environment, name, *, at_least=0, below=None, limit="") -> int:
    text = environment[name]
    wanted = f"a number from {at_least}"
    if below is not None:
        wanted += f" to {below - 1} ({limit} is {environment[limit]})"
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise UserError(f"{name} must be {wanted}, got {text!r}")
    if int(text) < at_least or (below is not None and int(text) >= below):
        raise UserError(f"{name} must be {wanted}, got {text}")
    return int(text)


def _arguments(layout: Layout) -> dict:
    """What `jax.distributed.initialize` is not to find out by itself."""
    ids = None if layout.device_ids is None else list(layout.device_ids)
    if layout.kind == TPU:
        return {}
    if layout.kind == SLURM:
        return {"cluster_detection_method": "slurm", "local_device_ids": ids}
    return {
        "coordinator_address": layout.address,
        # Else it would listen to the network too.
        "coordinator_bind_address": layout.address,
        "num_processes": layout.count,
        "process_id": layout.index,
        "local_device_ids": ids,
    }


def _unreachable(layout: Layout, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [repr(error)])[0]
    if layout.kind == TPU:
        return (
            f"the other workers of the TPU could not be joined ({reason}): wanted a "
            f"TPU VM with libtpu installed (ACCELERATOR=tpu), or {_CLUSTER} not set"
        )
    where = f" at {layout.address} ({_COORDINATOR})" if layout.address else ""
    return (
        f"process {layout.index} of {layout.count} could not join process 0{where}: "
        f"{reason}"
    )


def _refuse_several(count: int) -> None:
    raise UserError(
        f"this command does its work in one process and {count} were started "
        "(`train` shares its work)"
    )
