"""How a process finds out who it is, and what joining does."""

import os
import socket
import subprocess
import sys

import pytest

from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.runtime.processes import LOCAL, SLURM, TPU, Layout, read_layout

_LOCAL = {
    "VGG_UNPOOL_COORDINATOR": "127.0.0.1:4321",
    "VGG_UNPOOL_PROCESSES": "4",
    "VGG_UNPOOL_PROCESS": "2",
}
# As srun sets them for the second task of the second of two nodes with four each.
_SLURM = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_NODELIST": "node[01-02]",
    "SLURM_NTASKS": "8",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    "SLURM_NODEID": "1",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}


def test_a_process_on_its_own():
    assert read_layout({}) == Layout()
    assert read_layout(_LOCAL | {"VGG_UNPOOL_PROCESSES": "1"} | _index(0)) == Layout()
    assert read_layout(dict.fromkeys(_LOCAL, "")) == Layout()


def _index(number):
    return {"VGG_UNPOOL_PROCESS": str(number)}


def test_a_process_of_the_local_launcher():
    assert read_layout(_LOCAL) == Layout(LOCAL, 4, 2, 4, "127.0.0.1:4321", (2,))


@pytest.mark.parametrize("missing", sorted(_LOCAL))
def test_a_missing_variable_is_named(missing):
    environment = {k: v for k, v in _LOCAL.items() if k != missing}
    with pytest.raises(UserError, match=f"^{missing} is not set: wanted all of"):
        read_layout(environment)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("VGG_UNPOOL_PROCESS", "4", r"a number from 0 to 3 \(.*PROCESSES is 4\), got"),
        ("VGG_UNPOOL_PROCESS", "-1", "got '-1'"),
        ("VGG_UNPOOL_PROCESS", "²", "got '²'"),
        ("VGG_UNPOOL_PROCESSES", "0", "must be a number from 1, got 0"),
        ("VGG_UNPOOL_PROCESSES", "two", "must be a number from 1, got 'two'"),
        ("VGG_UNPOOL_COORDINATOR", "host", "must be HOST:PORT, got 'host'"),
        ("VGG_UNPOOL_COORDINATOR", "h:1:2", "must be HOST:PORT, got 'h:1:2'"),
    ],
)
def test_a_wrong_variable_is_named_with_what_was_wanted(name, value, sentence):
    with pytest.raises(UserError, match=f"^{name} .*{sentence}"):
        read_layout(_LOCAL | {name: value})


def test_a_task_of_slurm():
    assert read_layout(_SLURM) == Layout(SLURM, 8, 5, 4, None, None)


@pytest.mark.parametrize(
    ("per_node", "node", "here"), [("4(x2)", 0, 4), ("5,3", 0, 5), ("1,2(x3),1", 3, 2)]
)
def test_tasks_of_a_node_are_counted(per_node, node, here):
    counts = {"SLURM_STEP_TASKS_PER_NODE": per_node, "SLURM_NODEID": str(node)}
    assert read_layout(_SLURM | counts).here == here


@pytest.mark.parametrize(
    ("variables", "ids"),
    [
        # All GPUs shown to all tasks: one each, or the same number each.
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, (1,)),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}, (2, 3)),
        # Each task shown its own, which it knows as the first.
        ({"CUDA_VISIBLE_DEVICES": "1"}, (0,)),
        # One task a node takes all, also when SLURM does not say how many.
        ({"SLURM_STEP_TASKS_PER_NODE": "1(x8)", "SLURM_LOCALID": "0"}, ()),
        # What the user says to JAX itself stands.
        ({"CUDA_VISIBLE_DEVICES": "1", "JAX_LOCAL_DEVICE_IDS": "0"}, None),
        ({}, None),
    ],
)
def test_gpus_of_a_task(variables, ids):
    assert read_layout(_SLURM | variables).device_ids == ids


def test_outside_of_a_step_slurm_does_not_count():
    # A batch script, and the shell of an allocation of four tasks.
    batch = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
    assert read_layout(batch) == Layout()
    assert read_layout(_SLURM | {"SLURM_STEP_NUM_TASKS": "1"}) == Layout()


def test_a_step_of_an_older_slurm_is_one_too():
    older = {k: v for k, v in _SLURM.items() if k != "SLURM_STEP_NUM_TASKS"}
    assert read_layout(older) == read_layout(_SLURM)


@pytest.mark.parametrize(
    "missing", sorted(_SLURM.keys() - {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"})
)
def test_a_missing_variable_of_slurm_is_named(missing):
    environment = {k: v for k, v in _SLURM.items() if k != missing}
    with pytest.raises(UserError, match=f"^{missing} is not set in a SLURM step"):
        read_layout(environment)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"SLURM_NTASKS": "4"}, "SLURM_NTASKS is 4 and SLURM_STEP_NUM_TASKS is 8"),
        ({"SLURM_PROCID": "8"}, "SLURM_PROCID must be .* 0 to 7 .*, got 8"),
        ({"SLURM_LOCALID": "x"}, "SLURM_LOCALID must be .*, got 'x'"),
        ({"SLURM_NODEID": "2"}, "SLURM_NODEID must be .* 0 to 1 .*, got 2"),
        (
            {"SLURM_STEP_TASKS_PER_NODE": "4x2"},
            r"SLURM_STEP_TASKS_PER_NODE must be like 4\(x2\),3, got '4x2'",
        ),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2"}, "CUDA_VISIBLE_DEVICES names 3 .* 4 tasks"),
        (_LOCAL, "SLURM_STEP_NUM_TASKS is 8 and VGG_UNPOOL_PROCESSES is 4"),
    ],
)
def test_contradictions_are_refused(variables, sentence):
    with pytest.raises(UserError, match=sentence):
        read_layout(_SLURM | variables)


def test_a_tpu():
    assert read_layout({"VGG_UNPOOL_CLUSTER": "tpu"}).kind == TPU
    on_tpu = {"TPU_ML_PLATFORM": "JAX"}  # which importing JAX sets there
    assert read_layout(on_tpu).kind == TPU
    assert read_layout(on_tpu | {"TPU_SKIP_MDS_QUERY": "1"}) == Layout()
    assert read_layout(on_tpu | {"JAX_PLATFORMS": "cpu"}) == Layout()
    with pytest.raises(UserError, match=r"^VGG_UNPOOL_CLUSTER must .* 'k8s'"):
        read_layout({"VGG_UNPOOL_CLUSTER": "k8s"})
    with pytest.raises(UserError, match=r"^VGG_UNPOOL_CLUSTER is tpu and"):
        read_layout({"VGG_UNPOOL_CLUSTER": "tpu"} | _LOCAL)


def _run(program, environments, timeout=120):
    """Run a program in one process an environment; (status, output) of each."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=inherited | {"JAX_PLATFORMS": "cpu"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for environment in environments
    ]
    told = [process.communicate(timeout=timeout) for process in processes]
    return [(p.returncode, *t) for p, t in zip(processes, told, strict=True)]


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


_SUM = """
from vgg_unpool_jax.training import processes
layout = processes.join()
import jax
import jax.numpy as jnp
total = jax.pmap(lambda x: jax.lax.psum(x, "i"), axis_name="i")(
    jnp.full(jax.local_device_count(), jax.process_index() + 1.0))
print(layout.kind, layout.index, jax.process_count(), float(total[0]))
"""


def test_two_local_processes_add_up():
    port = _free_port()
    environments = [
        {
            "VGG_UNPOOL_COORDINATOR": f"127.0.0.1:{port}",
            "VGG_UNPOOL_PROCESSES": "2",
            "VGG_UNPOOL_PROCESS": str(number),
        }
        for number in range(2)
    ]
    for number, (status, output, errors) in enumerate(_run(_SUM, environments)):
        assert status == 0, errors
        assert output.splitlines()[-1].split() == [
            "local",
            str(number),
            "2",
            "3.0",
        ]


def test_two_tasks_of_slurm_find_each_other_by_its_variables_alone():
    step = {
        "SLURM_JOB_ID": "77",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_TASKS_PER_NODE": "2",
        "SLURM_NODEID": "0",
        "JAX_COORDINATOR_PORT": str(_free_port()),
    }
    tasks = [
        step | {"SLURM_PROCID": str(number), "SLURM_LOCALID": str(number)}
        for number in range(2)
    ]
    for number, (status, output, errors) in enumerate(_run(_SUM, tasks)):
        assert status == 0, errors
        assert output.splitlines()[-1].split() == [
            "slurm",
            str(number),
            "2",
            "3.0",
        ]


_JOIN = """
import sys
from vgg_unpool_jax.training import processes
try:
    processes.join(shares_work=False)
except processes.UserError as error:
    print(error)
import jax
print(jax.distributed.is_initialized())
"""


def test_one_process_joins_nothing():
    ((status, output, errors),) = _run(_JOIN, [{}])
    assert status == 0, errors
    assert output == "False\n"


def test_a_command_for_one_process_refuses_several():
    ((status, output, errors),) = _run(_JOIN, [_LOCAL])
    assert status == 0, errors
    assert output == (
        "this command does its work in one process and 4 were started (`train` shares "
        "its work)\nFalse\n"
    )


def test_a_tpu_that_is_none_is_told():
    ((status, output, errors),) = _run(_JOIN, [{"VGG_UNPOOL_CLUSTER": "tpu"}])
    assert status == 0, errors
    sentence = output.splitlines()[0]
    assert sentence.startswith("the other workers of the TPU could not be joined (")
    assert "VGG_UNPOOL_CLUSTER not set" in sentence
