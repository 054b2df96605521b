"""Several processes as one run: on one machine, in a SLURM job, on a TPU slice.

A process finds the others by environment variables alone, without flags:

- VGG_UNPOOL_COORDINATOR, VGG_UNPOOL_PROCESSES and VGG_UNPOOL_PROCESS, which
  `./launch.sh local` sets for processes on one machine;
- the variables that `srun` sets for the tasks of a SLURM step;
- VGG_UNPOOL_CLUSTER=tpu, which `./launch.sh tpu` sets, or a TPU VM: there JAX asks the
  metadata of the machine.

Without any of these, or with a single process, nothing is initialized.
"""

import dataclasses
import os
import re
from collections.abc import Mapping

import jax

from vgg_unpool_jax.errors import UserError, first_line

_COORDINATOR = "VGG_UNPOOL_COORDINATOR"
_COUNT = "VGG_UNPOOL_PROCESSES"
_INDEX = "VGG_UNPOOL_PROCESS"
_CLUSTER = "VGG_UNPOOL_CLUSTER"
_SLURM_TASKS = "SLURM_STEP_NUM_TASKS"
_SLURM_PER_NODE = "SLURM_STEP_TASKS_PER_NODE"

SINGLE, LOCAL, SLURM, TPU = "single", "local", "slurm", "tpu"


@dataclasses.dataclass(frozen=True)
class Layout:
    """The processes of a run, as the environment describes them.

    Attributes:
      kind: SINGLE, LOCAL, SLURM or TPU.
      count: number of processes; 1 on a TPU, where it is known only after joining.
      index: of this process.
      here: number of processes on this machine.
      address: HOST:PORT of process 0, or None where JAX finds it out.
      device_ids: which of the visible GPUs belong to this process; empty for all, None
        for JAX's choice. Has no effect on a CPU.
    """

    kind: str = SINGLE
    count: int = 1
    index: int = 0
    here: int = 1
    address: str | None = None
    device_ids: tuple[int, ...] | None = None


# Messages of the transports and of the coordination service after a process ended.
_LOST = re.compile(
    r"(gloo|nccl).*(connect|reset|closed|remote|timed? ?out)|broken pipe|socket closed|"
    r"connection (reset|closed|refused)|heartbeat|failed to send RPC|barrier timed out",
    re.IGNORECASE | re.DOTALL,
)
_OWN_FAULT = re.compile(r"out of memory|exhausted|invalid|mismatch", re.IGNORECASE)


def explain_loss(error: Exception) -> str | None:
    """One sentence for an error that follows from the end of another process.

    Args:
      error: of a training step or of saving a checkpoint.

    Returns:
      The sentence, or None for a single process and for errors with another cause.
    """
    text = str(error).strip()
    if not isinstance(error, jax.errors.JaxRuntimeError):
        return None
    if not _LOST.search(text) or _OWN_FAULT.search(text):
        return None
    if not jax.distributed.is_initialized() or jax.process_count() == 1:
        return None
    return (
        f"process {jax.process_index()} of {jax.process_count()} lost another one "
        f"({text.splitlines()[0]}): the last message of that one names the cause; the "
        "same command, started in all processes, resumes from the newest checkpoint"
    )


def join(*, shares_work: bool = True) -> Layout:
    """Become one of the processes of a run; does nothing for a single process.

    Must be called before anything that starts JAX's backend, such as listing devices.
    From then on JAX receives SIGTERM, for `runtime/preemption.py` to ask; the signal no
    longer ends the process.

    Args:
      shares_work: False refuses several processes, for a program that would do the same
        work in each.

    Returns:
      The layout that was joined.
    """
    layout = read_layout()
    count = layout.count
    if layout.kind != SINGLE and (shares_work or count == 1):
        _initialize(layout)
        count = jax.process_count()
    if count > 1 and not shares_work:
        raise UserError(
            f"this command does its work in one process and {count} were started "
            "(`train` shares its work)"
        )
    return layout


def _initialize(layout: Layout) -> None:
    arguments, address = {}, layout.address
    if layout.device_ids is not None:
        arguments["local_device_ids"] = list(layout.device_ids)
    if layout.kind == SLURM:
        arguments["cluster_detection_method"] = "slurm"
    elif layout.kind == LOCAL:
        arguments |= {"num_processes": layout.count, "process_id": layout.index}
        arguments["coordinator_address"] = address
        # The default would listen to the network too.
        arguments["coordinator_bind_address"] = address
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(**arguments)
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        where = f" at {address} ({_COORDINATOR})" if address else ""
        sentence = (
            f"process {layout.index} of {layout.count} could not join process 0{where}"
        )
        if layout.kind == TPU:
            sentence = (
                "the other workers of the TPU could not be joined; expected a TPU VM "
                f"with libtpu (ACCELERATOR=tpu), or {_CLUSTER} not set"
            )
        raise UserError(f"{sentence}: {first_line(error)}") from error


def read_layout(environment: Mapping[str, str] = os.environ) -> Layout:
    """The layout that the environment describes; starts nothing."""
    variables = {name: value for name, value in environment.items() if value}
    cluster = variables.get(_CLUSTER)
    if cluster not in (None, TPU):
        raise UserError(f"{_CLUSTER} must be {TPU} or not set, got {cluster!r}")
    if not variables.keys().isdisjoint((_COORDINATOR, _COUNT, _INDEX)):
        if cluster:
            raise UserError(f"{_CLUSTER} and {_COORDINATOR} contradict each other")
        return _local_layout(variables)
    if cluster:
        return Layout(TPU)
    # Not by SLURM_NTASKS: in the shell of an allocation that is the number of tasks of
    # the allocation, none of which was started with this process.
    alone = "1" if "SLURM_STEP_NODELIST" not in variables else ""
    if variables.get(_SLURM_TASKS, alone) != "1":
        return _slurm_layout(variables)
    # Importing JAX sets the first where there are TPU chips and libtpu. The second
    # means that the machine has no metadata to ask: then it is a single process.
    on_tpu = (
        variables.get("TPU_ML_PLATFORM") == "JAX"
        and "TPU_SKIP_MDS_QUERY" not in variables
        and not variables.get("JAX_PLATFORMS", "").startswith("cpu")
    )
    return Layout(TPU) if on_tpu else Layout()


def _local_layout(variables) -> Layout:
    count, index = _number(variables, _COUNT), _number(variables, _INDEX)
    if index >= count:
        raise UserError(f"{_INDEX} must be less than {_COUNT}={count}, got {index}")
    address = _value(variables, _COORDINATOR)
    if count == 1:
        return Layout()
    if int(variables.get(_SLURM_TASKS, 1)) > 1:
        raise UserError(
            f"{_COUNT} is {count} in a SLURM step of {variables[_SLURM_TASKS]} tasks: "
            "`./launch.sh local` must run in one task"
        )
    return Layout(LOCAL, count, index, count, address, device_ids=(index,))


def _slurm_layout(variables) -> Layout:
    count = _number(variables, "SLURM_NTASKS")
    if count == 1:
        return Layout()
    if int(variables.get(_SLURM_TASKS, count)) != count:
        raise UserError(
            f"SLURM_NTASKS is {count} and {_SLURM_TASKS} is {variables[_SLURM_TASKS]}"
        )
    for name in ("SLURM_JOB_ID", "SLURM_STEP_NODELIST"):  # which JAX reads
        _value(variables, name)
    # SLURM writes "4(x2),3" for nodes of 4, 4 and 3 tasks.
    per_node = re.findall(r"(\d+)(?:\(x(\d+)\))?", _value(variables, _SLURM_PER_NODE))
    tasks = [int(number) for number, times in per_node for _ in range(int(times or 1))]
    node = _number(variables, "SLURM_NODEID")
    if node >= len(tasks):
        raise UserError(
            f"SLURM_NODEID is {node} and {_SLURM_PER_NODE} describes {len(tasks)} nodes"
        )
    ids = _slurm_gpus(variables, tasks[node], _number(variables, "SLURM_LOCALID"))
    index = _number(variables, "SLURM_PROCID")
    return Layout(SLURM, count, index, tasks[node], device_ids=ids)


def _slurm_gpus(variables, here: int, local: int) -> tuple[int, ...] | None:
    # JAX gives task i of a node GPU i of those that it sees, which is wrong for one
    # task with all GPUs and where SLURM shows every task a GPU of its own.
    if "JAX_LOCAL_DEVICE_IDS" in variables:
        return None
    if here == 1:
        return ()
    if "CUDA_VISIBLE_DEVICES" not in variables:
        return None
    count = len(variables["CUDA_VISIBLE_DEVICES"].split(","))
    if count == 1:
        return (0,)
    if count % here:
        raise UserError(
            f"CUDA_VISIBLE_DEVICES names {count} GPUs for the {here} tasks of this "
            "node, expected the same number for each"
        )
    share = count // here
    return tuple(range(local * share, (local + 1) * share))


def _value(variables, name: str) -> str:
    if name not in variables:
        raise UserError(f"{name} is not set, but other variables of its group are")
    return variables[name]


def _number(variables, name: str) -> int:
    text = _value(variables, name)
    if not text.isdecimal():
        raise UserError(f"{name} must be a number, got {text!r}")
    return int(text)
