"""What pmap, jit and orbax stumble over in several processes, and ours must not.

Seen with jax 0.10.2: a state that was made on the default device and is donated by the
mapped step fails at its first step ("Array has been deleted"), orbax refuses what a
mapped function returns ("Cannot serialize host local jax.Array"), and a program of one
process cannot take the global arrays of `jit`.
"""

import json

import orbax.checkpoint as ocp
import pytest

# Each process has two devices, as a TPU worker has several.
_PROGRAM = """
import json, sys
from vgg_unpool_jax.runtime import processes
processes.join()
import jax, jax.numpy as jnp, numpy as np, optax
from vgg_unpool_jax.training import parallel
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.state import create_train_state

by = sys.argv[2]
# Fresh, on the default device of each process.
params = {"kernel": jnp.full((3,), 2.0)}
state = create_train_state(params, {}, optax.sgd(0.1), averaged=False)
state = parallel.replicate(state, by=by)

def step(state, frozen, batch, key):
    mean = parallel.average_over_devices(batch["x"].mean())
    params = jax.tree.map(lambda leaf: leaf + mean, state.params)
    return state.replace(step=state.step + 1, params=params), {"mean": mean}

step = parallel.parallelize_step(step, by=by)
rows = 4 * jax.process_index() + np.arange(4.0, dtype=np.float32)  # 0 to 7 in all
frozen = parallel.replicate({"w": jnp.ones(2)}, by=by)
for _ in range(2):
    batch = parallel.shard_batch({"x": rows})
    state, metrics = step(state, frozen, batch, jax.random.key(0))
with Checkpoints(sys.argv[1]) as saved:
    saved.save(state, {"n": 1})
with Checkpoints(sys.argv[1], create=False) as saved:
    restored = saved.restore(like=state)
again = parallel.replicate(restored, by=by)
again, _ = step(again, frozen, parallel.shard_batch({"x": rows}), jax.random.key(0))
evaluate = parallel.parallelize_evaluation(
    lambda params, _, frozen, batch, key: batch["x"] + params["kernel"][0], by=by
)
batch = parallel.shard_batch({"x": rows})
evaluated = evaluate(again.params, {}, frozen, batch, jax.random.key(0))
evaluated, _ = parallel.gather_photos(parallel.unshard(evaluated), np.ones(4, bool))
alone = None
if jax.process_index() == 0:
    alone = float(jax.jit(jnp.sum)(parallel.of_this_process(again.params)["kernel"]))
print(json.dumps({
    "devices": [jax.device_count(), jax.local_device_count()],
    "mean": float(metrics["mean"]),
    "restored": np.asarray(restored.params["kernel"]).tolist(),
    "again": np.asarray(again.params["kernel"]).tolist(),
    "step": int(again.step),
    "evaluated": evaluated.tolist(),
    "alone": alone,
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "by", ["pmap", pytest.param("jit", marks=pytest.mark.extended)]
)
def test_fresh_states_are_donated_and_mapped_ones_saved(run_processes, tmp_path, by):
    outputs = run_processes(_PROGRAM, 2, tmp_path / "run", by, devices=2)
    for output, alone in zip(outputs, (37.5, None), strict=True):
        assert json.loads(output.splitlines()[-1]) == {
            "devices": [4, 2],
            "mean": 3.5,
            "restored": [9.0] * 3,
            "again": [12.5] * 3,
            "step": 3,
            "evaluated": [12.5 + k for k in range(8)],
            "alone": alone,
        }
    with ocp.CheckpointManager(tmp_path / "run" / "checkpoints") as manager:
        saved = manager.restore(2)  # in one process with one device
    assert saved["state"]["params"]["kernel"].tolist() == [9.0] * 3
    assert saved["record"] == {"n": 1}
    assert {"record", "step", "params/kernel"} <= set(saved["checksums"])
