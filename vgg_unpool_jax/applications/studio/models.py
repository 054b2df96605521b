"""The models that are on this machine, loaded when first used and kept."""

import dataclasses
import os
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.pretrained.load import weight_files
from vgg_unpool_jax.pretrained.networks import NETWORKS, network_files
from vgg_unpool_jax.releases import file, index
from vgg_unpool_jax.systems import load_trained
from vgg_unpool_jax.training import run_config

# Of each system, what it is for and the config that trains one.
SYSTEMS = {
    "unpooling": ("Rebuilding and editing", "vgg19_block3:best"),
    "staged": ("Style transfer", "staged/vgg19"),
    "codec": ("Compressing", "codec/photos"),
    "restoration": ("Restoring", "restoration/photos:best"),
    "colorization": ("Colouring grey photos", "colorization/photos:best"),
    "super_resolution": ("Enlarging", "super_resolution/photos:best"),
    "vae": ("Sampling", "vae_coco:photos"),
    "deepsim": ("Inverting features", "deepsim/vgg19:photos"),
}
VGG19 = "vgg19"


@dataclasses.dataclass(frozen=True)
class Known:
    """A model on this machine.

    Attributes:
      name: as loaders and commands take it.
      system: that it is of.
      title: for people.
      network: whose weights it needs, such as "vgg19"; "" for none.
      block: of a pair; 0 for other systems.
      qualities: of a codec; 0 for other systems.
      trained_on: its training photos, where a release says so.
    """

    name: str
    system: str
    title: str
    network: str = ""
    block: int = 0
    qualities: int = 0
    trained_on: str = ""


class Models:
    """Finds and keeps models; nothing is downloaded.

    Attributes:
      named: those that the user named.
      weights: see the constructor.
    """

    def __init__(
        self,
        named: Sequence[str | os.PathLike] = (),
        weights: str | os.PathLike | None = None,
    ):
        """Look for models.

        Args:
          named: workdirs or released files beside the models of the package; they come
            before these.
          weights: the VGG19 weight file; None for the one in VGG19_WEIGHTS or in the
            cache.
        """
        self.weights = weights
        self._lock, self._loaded = threading.Lock(), {}
        self.named = own = [_describe(os.fspath(name)) for name in named]
        self._elsewhere: dict[str, str] = {}
        released = self._released()
        # Runs may have been trained with a file of their own.
        self._known = own + [k for k in released if self.has(k.network)]
        self._without_weights = {
            k.system: k.network for k in released if not self.has(k.network)
        }

    def has(self, network: str) -> bool:
        """Whether the weights of a network are on this machine; of "" they are."""
        if not network:
            return True
        if network == VGG19:
            files = weight_files(self.weights)
        else:
            files = network_files(network)
        return any(path.is_file() for path in files)

    def of(self, system: str) -> list[Known]:
        """The models of a system, those named by the user first."""
        return [known for known in self._known if known.system == system]

    def pairs(self) -> dict[int, Known]:
        """Pairs by their block, upwards."""
        found = {known.block: known for known in reversed(self.of("unpooling"))}
        return dict(sorted(found.items()))

    def load(self, known: Known) -> Any:
        """A model, loaded by the first call."""
        with self._lock:
            if known.name not in self._loaded:
                weights = self.weights if known.network == VGG19 else None
                self._loaded[known.name] = load_trained(known.name, weights)
            return self._loaded[known.name]

    def missing(self, system: str) -> str | None:
        """A sentence on how to come to a model of a system; None where one is here."""
        if self.of(system):
            return None
        purpose, config = SYSTEMS[system]
        network = self._without_weights.get(system)
        if network == VGG19:
            return (
                f"{purpose}: VGG19's weights are not on this machine: "
                "`./launch.sh pairs page released --source=samples "
                "--output=runs/released` downloads them once, and `./launch.sh studio "
                "--weights=FILE` takes a file"
            )
        if network:
            facts = NETWORKS[network]
            return (
                f"{purpose}: the weights of {facts.title} are not on this machine; "
                f"{facts.variable} names a file of them"
            )
        if system in self._elsewhere:
            name = self._elsewhere[system]
            return (
                f"{purpose} needs a model that is not on this machine: `./launch.sh "
                f"pairs fetch {name}` downloads {name}"
            )
        workdir = f"runs/{config.split('/')[0].split(':')[0]}"
        return (
            f"{purpose} needs a trained model: `./launch.sh train --config={config} "
            f"--workdir={workdir} --config.data.source=folder:PHOTOS` trains one, and "
            f"`./launch.sh studio --models={workdir}` shows it here"
        )

    def _released(self) -> list[Known]:
        entries = index.read(index.PACKAGE)
        other = os.environ.get(index.VARIABLE, "")
        if other and "://" not in other:
            entries |= index.read(other)
        found = []
        for name, entry in sorted(entries.items()):
            path, _ = index.locate(entry)
            if path is not None:
                found.append(_describe(name, path))
            elif entry.sha256 is not None:
                self._elsewhere.setdefault(entry.facts["system"], name)
        # A model of faces alone is not what most photos need first.
        return sorted(found, key=lambda known: known.name.endswith("-faces"))


def _describe(name: str, path: pathlib.Path | None = None) -> Known:
    if path is None and to_path(name).suffix == file.SUFFIX:
        path = to_path(name)
    if path is None and to_path(name).is_dir():
        path = index.find(name)  # a folder with a release, or None for a workdir
    trained_on = ""
    if path is not None:
        metadata = file.read_metadata(path)
        config, system = metadata["config"], metadata["system"]
        trained_on = str(metadata["facts"].get("training_photos") or "")
    elif to_path(name).is_dir():
        config = run_config.read(name).to_dict()
        system = config.get("system")
    else:
        raise ConfigError(f"there is no workdir or released file {name}")
    title = pathlib.PurePath(name).name.removesuffix(file.SUFFIX)
    block = int(config["encoder"]["block"]) if system == "unpooling" else 0
    qualities = len(config["loss"]["lambdas"]) if system == "codec" else 0
    if system == "deepsim":
        title = f"{config['model'].get('layer') or 'autoencoder'} ({title})"
    network = _network(system, config)
    return Known(name, system, title, network, block, qualities, trained_on)


def _network(system: str, config: Mapping[str, Any]) -> str:
    if system in ("unpooling", "staged"):
        return VGG19
    section = config.get("model", {})
    fields = {"deepsim": "network", "colorization": "name"}
    name = section.get(fields.get(system, ""), "")
    return name if name == VGG19 or name in NETWORKS else ""  # or one without weights
