"""What pmap and orbax stumble over in several processes, and ours must not.

Seen with jax 0.10.2: a state that was made on the default device and is donated by the
mapped step fails at its first step ("Array has been deleted"), and orbax refuses what a
mapped function returns ("Cannot serialize host local jax.Array").
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

# Fresh, on the default device of each process.
params = {"kernel": jnp.full((3,), 2.0)}
state = create_train_state(params, {}, optax.sgd(0.1), averaged=False)
state = parallel.replicate(state)

def step(state, frozen, batch, key):
    mean = parallel.average_over_devices(batch["x"].mean())
    params = jax.tree.map(lambda leaf: leaf + mean, state.params)
    return state.replace(step=state.step + 1, params=params), {"mean": mean}

step = parallel.parallelize_step(step)
rows = 4 * jax.process_index() + np.arange(4.0, dtype=np.float32)  # 0 to 7 in all
frozen = parallel.replicate({"w": jnp.ones(2)})
for _ in range(2):
    batch = parallel.shard_batch({"x": rows})
    state, metrics = step(state, frozen, batch, jax.random.key(0))
with Checkpoints(sys.argv[1]) as saved:
    saved.save(state, {"n": 1})
with Checkpoints(sys.argv[1], create=False) as saved:
    restored = saved.restore(like=state)
again = parallel.replicate(restored)
again, _ = step(again, frozen, parallel.shard_batch({"x": rows}), jax.random.key(0))
print(json.dumps({
    "devices": [jax.device_count(), jax.local_device_count()],
    "mean": float(metrics["mean"]),
    "restored": np.asarray(restored.params["kernel"]).tolist(),
    "again": np.asarray(again.params["kernel"]).tolist(),
    "step": int(again.step),
}))
"""


@pytest.mark.slow
def test_fresh_states_are_donated_and_mapped_ones_saved(run_processes, tmp_path):
    for output in run_processes(_PROGRAM, 2, tmp_path / "run", devices=2):
        assert json.loads(output.splitlines()[-1]) == {
            "devices": [4, 2],
            "mean": 3.5,
            "restored": [9.0] * 3,
            "again": [12.5] * 3,
            "step": 3,
        }
    with ocp.CheckpointManager(tmp_path / "run" / "checkpoints") as manager:
        saved = manager.restore(2)  # in one process with one device
    assert saved["state"]["params"]["kernel"].tolist() == [9.0] * 3
    assert saved["record"] == {"n": 1}
    assert {"record", "step", "params/kernel"} <= set(saved["checksums"])
