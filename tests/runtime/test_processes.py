"""Layouts read from environment variables, and processes that join by them."""

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
    ("environment", "sentence"),
    [
        (_LOCAL | {"VGG_UNPOOL_COORDINATOR": ""}, "VGG_UNPOOL_COORDINATOR is not set"),
        (_LOCAL | _index(4), "VGG_UNPOOL_PROCESS must be less than .*=4, got 4"),
        (_LOCAL | _index("x"), "VGG_UNPOOL_PROCESS must be a number, got 'x'"),
        (_LOCAL | _SLURM, "VGG_UNPOOL_PROCESSES is 4 in a SLURM step of 8 tasks"),
        (
            _LOCAL | {"VGG_UNPOOL_CLUSTER": "tpu"},
            "VGG_UNPOOL_CLUSTER and .* contradict",
        ),
        ({"VGG_UNPOOL_CLUSTER": "k8s"}, "VGG_UNPOOL_CLUSTER must be tpu .* 'k8s'"),
        (_SLURM | {"SLURM_JOB_ID": ""}, "SLURM_JOB_ID is not set"),
        (_SLURM | {"SLURM_PROCID": ""}, "SLURM_PROCID is not set"),
        (_SLURM | {"SLURM_NTASKS": "4"}, "SLURM_NTASKS is 4 and .*_NUM_TASKS is 8"),
        (_SLURM | {"SLURM_NODEID": "2"}, "SLURM_NODEID is 2 and .* describes 2 nodes"),
        (_SLURM | {"CUDA_VISIBLE_DEVICES": "0,1,2"}, "names 3 GPUs for the 4 tasks"),
    ],
)
def test_a_missing_or_contradictory_variable_is_named(environment, sentence):
    with pytest.raises(UserError, match=sentence):
        read_layout(environment)


def test_a_tpu():
    assert read_layout({"VGG_UNPOOL_CLUSTER": "tpu"}).kind == TPU
    on_tpu = {"TPU_ML_PLATFORM": "JAX"}  # which importing JAX sets there
    assert read_layout(on_tpu).kind == TPU
    assert read_layout(on_tpu | {"TPU_SKIP_MDS_QUERY": "1"}) == Layout()
    assert read_layout(on_tpu | {"JAX_PLATFORMS": "cpu"}) == Layout()


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
from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.runtime import processes
layout = processes.join()
import jax
import jax.numpy as jnp
total = jax.pmap(lambda x: jax.lax.psum(x, "i"), axis_name="i")(
    jnp.full(jax.local_device_count(), jax.process_index() + 1.0))
print(layout.kind, layout.index, jax.process_count(), float(total[0]))
"""


def _local_environments():
    port = _free_port()
    return [
        {
            "VGG_UNPOOL_COORDINATOR": f"127.0.0.1:{port}",
            "VGG_UNPOOL_PROCESSES": "2",
            "VGG_UNPOOL_PROCESS": str(number),
        }
        for number in range(2)
    ]


def _slurm_environments():
    step = {
        "SLURM_JOB_ID": "77",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_TASKS_PER_NODE": "2",
        "SLURM_NODEID": "0",
        "JAX_COORDINATOR_PORT": str(_free_port()),
    }
    return [
        step | {"SLURM_PROCID": str(number), "SLURM_LOCALID": str(number)}
        for number in range(2)
    ]


@pytest.mark.parametrize(
    ("kind", "environments"),
    [("local", _local_environments), ("slurm", _slurm_environments)],
)
def test_two_processes_add_up(kind, environments):
    for number, (status, output, errors) in enumerate(_run(_SUM, environments())):
        assert status == 0, errors
        assert output.splitlines()[-1].split() == [kind, str(number), "2", "3.0"]


_JOIN = """
import sys
from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.runtime import processes
try:
    processes.join(shares_work=False)
except UserError as error:
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
    assert sentence.startswith("the other workers of the TPU could not be joined; ")
    assert "VGG_UNPOOL_CLUSTER not set" in sentence
