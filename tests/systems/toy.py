"""A system that uses every part of the contracts, in as little code as possible.

The model scales and shifts damaged photos; a critic, which rests on every other step,
learns how large its error is. The report compresses the outputs on the host.
"""

import dataclasses
import functools
import zlib

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from configs.unpooling import base
from vgg_unpool_jax.evaluation.evaluator import evaluate_split
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET, Report
from vgg_unpool_jax.releases import file
from vgg_unpool_jax.systems.saved import read_saved
from vgg_unpool_jax.training.step import as_float, photo_keys
from vgg_unpool_jax.training.system import Aux, System

SIDE = 16


def make_config(source: str, *, steps: int = 6) -> ml_collections.ConfigDict:
    """Config of a run on photos of a source."""
    config = base.make_config(1, "runlocal")
    with config.unlocked():
        for section in ("encoder", "decoder", "loss"):
            del config[section]
        config.optimizer.parts = ml_collections.ConfigDict({"model": {}, "critic": {}})
        config.data.noise = config.evaluation.noise = 20.0
    config.system = "toy"
    config.num_steps = steps
    config.data.source = source
    config.data.split_fractions = (0.5, 0.5, 0.0)
    config.data.image_size = config.evaluation.image_size = SIDE
    config.data.batch_size = config.evaluation.batch_size = 8
    config.evaluation.num_photos = 6
    config.evaluation.every_steps = config.checkpoints.every_steps = 2
    config.checkpoints.max_to_keep = 10
    config.checkpoints.best_metric = "photo_psnr"
    config.checkpoints.best_mode = "max"
    config.optimizer.learning_rate, config.optimizer.final_learning_rate = 0.02, 0.01
    return config


def add_noise(image: np.ndarray, rng: np.random.Generator, *, noise: float):
    """The example of a crop: "image", and "input" with Gaussian noise."""
    damaged = image + noise * rng.standard_normal(image.shape)
    return {"image": image, "input": damaged.clip(0, 255).astype(np.uint8)}


def make_example(config, section):
    return functools.partial(add_noise, noise=config[section].noise)


class ToyObjective:
    def __init__(self):
        self.frozen, self.record = {"white": jnp.float32(255.0)}, {"toy": True}

    def init(self, key, batch):
        params = {
            "model": {"gain": jnp.full(3, 0.5), "bias": jnp.zeros(3)},
            "critic": {"error": jnp.float32(0.0)},
        }
        return params, {"count": jnp.float32(0.0)}

    def losses(self, params, model_state, batch, keys, train):
        white = model_state["frozen"]["white"]
        inputs, targets = batch["input"], batch["image"]
        # Of each photo its own draw.
        draws = jax.vmap(jax.random.normal)(keys)
        outputs = params["model"]["gain"] * inputs + white * params["model"]["bias"]
        outputs += draws[:, None, None, None]
        errors = jnp.mean(jnp.square((outputs - targets) / white), axis=(1, 2, 3))
        guess = params["critic"]["error"]
        losses = {
            "model": jnp.mean(errors),
            "critic": jnp.mean(jnp.square(guess - errors)),
        }
        count = model_state["count"]
        return losses, Aux(
            {},
            {"count": count + jnp.float32(train)},
            {INPUT: inputs, OUTPUT: outputs, TARGET: targets, "draws": draws},
            {"critic": count % 2 == 0},
        )


class ToyReport(Report):
    def collect(self, outputs):
        codes = jnp.round(jnp.clip(outputs[OUTPUT], 0.0, 255.0) / 32.0)
        return {"codes": codes.astype(jnp.uint8), "draws": outputs["draws"]}

    def scalars(self, collected):
        sizes = [len(zlib.compress(codes.tobytes())) for codes in collected["codes"]]
        return {"bytes": float(np.mean(sizes))}

    def results(self, metrics, collected):
        return {"toy": self.scalars(collected)}

    def lines(self, metrics, collected, size):
        return [f"compressed outputs: {self.scalars(collected)['bytes']:.1f} bytes"]

    def pictures(self, params, model_state, collected, labels):
        return {"codes": np.concatenate(collected["codes"] * np.uint8(32))}


@dataclasses.dataclass
class TrainedToy:
    config: ml_collections.ConfigDict
    params: dict
    step: int
    record = ToyObjective().record
    crop, image_size, error_gain, tiles = "center", SIDE, 8.0, False

    def evaluate(self, split, **options):
        objective = ToyObjective()
        state = {"count": jnp.float32(0.0), "frozen": objective.frozen}

        def outputs(batch):
            arrays = as_float({k: v for k, v in batch.items() if k != "mask"})
            keys = photo_keys(jax.random.key(0), arrays["index"])
            _, aux = objective.losses(self.params, state, arrays, keys, False)
            return aux.outputs

        return evaluate_split(
            outputs,
            ToyReport(),
            split.source,
            split.indices,
            make_example=make_example(self.config, "evaluation"),
            **{"image_size": SIDE, "crop": self.crop, **options},
        )

    def export(self, path) -> None:
        config = self.config.to_dict()
        file.write(path, {"params": self.params}, config=config, step=self.step)


def load(workdir, weights=None) -> TrainedToy:
    saved = read_saved(workdir, "toy")
    return TrainedToy(saved.config, saved.variables["params"], saved.step)


SYSTEM = System(
    name="toy",
    make_objective=lambda config, record: ToyObjective(),
    load=load,
    make_report=ToyReport,
    make_example=make_example,
)
