"""Looks that were saved: statistics of a style, and a thumbnail."""

import dataclasses
import pathlib
import shutil

import numpy as np

from vgg_unpool_jax.applications.studio.jobs import safe_name
from vgg_unpool_jax.applications.studio.style import thumbnail
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.io.atomic import replacing

_SUFFIX, _THUMBNAIL = ".safetensors", ".png"


@dataclasses.dataclass(frozen=True)
class Look:
    """A saved look.

    Attributes:
      name: of the file, without its suffix.
      path: of the statistics, as `stylize --style` takes them.
      thumbnail: of the style photo.
    """

    name: str
    path: pathlib.Path
    thumbnail: pathlib.Path


class Looks:
    """A folder of looks."""

    def __init__(self, folder: pathlib.Path):
        """The folder is made when a look is saved."""
        self._folder = folder

    def all(self) -> list[Look]:
        """By name; only files that have a thumbnail."""
        if not self._folder.is_dir():
            return []
        paths = sorted(self._folder.glob(f"*{_SUFFIX}"))
        looks = [Look(p.stem, p, p.with_suffix(_THUMBNAIL)) for p in paths]
        return [look for look in looks if look.thumbnail.is_file()]

    def find(self, name: str) -> Look:
        """One of `all` by its name: no path is made of what a browser sends."""
        for look in self.all():
            if look.name == name:
                return look
        raise ConfigError(f"there is no saved look {safe_name(name)}")

    def save(self, name: str, statistics: pathlib.Path, photo: np.ndarray) -> Look:
        """Keep a look.

        Args:
          name: for people.
          statistics: a file of `StyleStatistics.write`, which is copied.
          photo: of the style, uint8 (h, w, 3).
        """
        name = safe_name(name).replace(".", "_")
        look = Look(
            name,
            self._folder / f"{name}{_SUFFIX}",
            self._folder / f"{name}{_THUMBNAIL}",
        )
        if look.path.exists():
            raise ConfigError(f"there is a look {name} already: take another name")
        with replacing(look.thumbnail) as file:
            thumbnail(photo).save(file, "PNG")
        with replacing(look.path) as file, open(statistics, "rb") as source:
            shutil.copyfileobj(source, file)
        return look
