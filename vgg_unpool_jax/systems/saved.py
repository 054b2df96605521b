"""Trained models of any system, read from a training run or from a release."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.pretrained.load import weight_files
from vgg_unpool_jax.pretrained.recorded import RANDOM_ORIGIN
from vgg_unpool_jax.releases import file, index
from vgg_unpool_jax.training import run_config


@dataclasses.dataclass(frozen=True, eq=False)
class SavedModel:
    """A trained model as it was saved.

    Attributes:
      path: of the release or of the run's config, for messages.
      config: of the training run.
      variables: "params" and other collections, for `module.apply`.
      step: number of training steps.
      record: of the objective, as in the checkpoint; empty for a release.
      release: metadata of the release, see `releases.file`; None for a run.
    """

    path: pathlib.Path
    config: ml_collections.ConfigDict
    variables: Mapping[str, Any]
    step: int
    record: Mapping[str, Any]
    release: Mapping[str, Any] | None

    @property
    def networks(self) -> Mapping[str, Any]:
        """Network -> facts about the weights that a run or a release was trained on."""
        pretrained = (self.release or {}).get("pretrained")
        return {pretrained["network"]: pretrained} if pretrained else self.record

    def weight_file(self, named: str) -> str:
        """A weight file of the config; "" for a release, which knows no folders."""
        return named if self.release is None or named == RANDOM_ORIGIN else ""


class Exported:
    """A trained model of whose `variables`, `config` and `step` nothing is left out.

    Attributes:
      pretrained: facts of its pretrained weights, see `releases.file`.
    """

    pretrained: Mapping[str, str] = MappingProxyType({})

    def export(
        self,
        path: str | os.PathLike,
        *,
        dtype: str = "float32",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the model into one file, which its loader takes.

        Args:
          path: the file, ending in `.safetensors`; an existing one is replaced.
          dtype: of the stored parameters, one of `releases.storage.DTYPES`.
          facts: JSON-ready facts for the users of the file.
        """
        file.write(
            path,
            self.variables,
            config=self.config.to_dict(),
            step=self.step,
            pretrained=self.pretrained,
            dtype=dtype,
            facts=facts,
        )


def model_files(
    workdir_or_name: str | os.PathLike, weights: str | os.PathLike | None = None
) -> list[pathlib.Path]:
    """Files and folders that loading a trained model reads.

    Args:
      workdir_or_name: as in `read_saved`.
      weights: the file of pretrained weights; None for the one of the training.
    """
    path = index.find(workdir_or_name)
    if path is not None:
        return [path, *weight_files(weights)]
    workdir = to_path(workdir_or_name)
    # What is no workdir is refused by loading it.
    known = run_config.path(workdir).exists()
    section = run_config.read(workdir).get("encoder", {}) if known else {}
    named = weights or section.get("weights") or None
    if named == RANDOM_ORIGIN:
        named = None
    return [
        run_config.path(workdir),
        workdir / run_config.CHECKPOINTS,
        *weight_files(named),
    ]


def read_saved(workdir_or_name: str | os.PathLike, system: str) -> SavedModel:
    """Read a training run or a release.

    Args:
      workdir_or_name: folder of a run, or a release as in `releases.index.find`.
      system: that it must be of.
    """
    path = index.find(workdir_or_name)
    if path is not None:
        release = file.read(path)
        metadata = release.metadata
        if metadata["system"] != system:
            raise ConfigError(
                f"{path} is of the system {metadata['system']!r}, expected {system!r}"
            )
        config = ml_collections.ConfigDict(metadata["config"])
        step = metadata["step"]
        return SavedModel(path, config, release.variables, step, {}, metadata)
    # Imported here: releases need neither orbax nor optax.
    from vgg_unpool_jax.training.checkpoints import Checkpoints

    config = run_config.read(workdir_or_name, system=system)
    with Checkpoints(workdir_or_name, create=False) as saved:
        record = saved.read_record()
        params, model_state, step = saved.restore_for_inference()
    path, variables = run_config.path(workdir_or_name), {"params": params}
    return SavedModel(path, config, {**variables, **model_state}, step, record, None)
