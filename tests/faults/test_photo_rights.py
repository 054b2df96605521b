"""Photos and folders that the system does not let one read are named."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest
from PIL import Image

pytestmark = pytest.mark.fault("photos and folders without rights")

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

# As the superuser everything can be read, so rights are given up, after the imports.
_READ_AS_NOBODY = """
import json, os, sys
import numpy as np
from vgg_unpool_jax.data import make_loader, make_source
from vgg_unpool_jax.errors import SourceError

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
source = make_source(f"folder:{sys.argv[1]}")
with make_loader(
    source, np.arange(len(source)), batch_size=1, image_size=16, crop="center",
    seed=0, shuffle=False, num_epochs=1, max_broken_share=1.0,
) as loader:
    mask = [bool(batch["mask"].all()) for batch in loader]
try:
    make_source(f"folder:{sys.argv[2]}")
    refusal = None
except SourceError as error:
    refusal = str(error)
print(json.dumps({"mask": mask, "broken": loader.broken, "refusal": refusal}))
"""


@pytest.mark.extended
def test_what_may_not_be_read_is_named(monkeypatch):
    # Not below pytest's own folder, which is closed to others.
    top = pathlib.Path(tempfile.mkdtemp(prefix="rights"))
    try:
        for name in ("open/a.jpg", "open/b.jpg", "open/closed/c.jpg", "locked/d/e.jpg"):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 24)).save(top / name)
        for name in ("open", "locked"):
            (top / name).chmod(0o755)
        (top / "open" / "b.jpg").chmod(0o000)
        (top / "open" / "closed").chmod(0o744)  # its names can be read, no more
        (top / "locked" / "d").chmod(0o000)
        top.chmod(0o755)
        monkeypatch.setenv("JAX_PLATFORMS", "cpu")
        done = subprocess.run(
            [sys.executable, "-c", _READ_AS_NOBODY, top / "open", top / "locked"],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        for closed in (top / "open" / "closed", top / "locked" / "d"):
            closed.chmod(0o755)
        shutil.rmtree(top)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["mask"] == [True, False, False]
    assert told["broken"] == {
        name: f"photo {name} cannot be read: Permission denied"
        for name in ("b.jpg", "closed/c.jpg")
    }
    locked = os.fspath(top / "locked" / "d")
    assert told["refusal"] == f"the folder {locked} cannot be listed: Permission denied"
