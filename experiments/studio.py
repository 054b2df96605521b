"""Open a page in the browser: style, rebuild, edit, compress, restore, sample, invert.

Needs the extra [studio].

    python -m vgg_unpool_jax studio [--port=7860] [--models=WORKDIR_OR_FILE,...]

The page needs no network and no GPU, and only this machine can open it. With --host
other machines can; the password that they need is in VGG_UNPOOL_STUDIO_PASSWORD, or is
asked for. See docs/studio.md.
"""

import getpass
import os
import signal
import sys
import threading

from absl import flags

from experiments.cli import command
from experiments.cli.path_list_flag import define_path_list
from vgg_unpool_jax.applications.studio.models import Models
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.pretrained.download import cache_folder

_PORT = flags.DEFINE_integer("port", 7860, "Port; 0 takes a free one.", 0, 65535)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen at.")
_MODELS = define_path_list(
    "models", [], "Workdirs and released files beside the models of the package."
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "VGG19 weight file; default: $VGG19_WEIGHTS or the cache."
)
_LOOKS = flags.DEFINE_string(
    "looks", None, "Folder of saved looks; default: beside the cached weights."
)


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.applications.studio.page import server

    password = os.environ.get(server.PASSWORD_VARIABLE)
    if not server.is_loopback(_HOST.value) and password is None and sys.stdin.isatty():
        password = getpass.getpass(f"Password of the user {server.USER}: ")
    server.check_password(_HOST.value, password)
    models = Models(_MODELS.value, _WEIGHTS.value)
    looks = to_path(_LOOKS.value) if _LOOKS.value else cache_folder() / "looks"
    running = server.serve(
        models, looks, host=_HOST.value, port=_PORT.value, password=password
    )
    print(f"the studio is at {running.url} (Ctrl-C ends it)", flush=True)
    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    ended.wait()
    running.close()


if __name__ == "__main__":
    command.run(main)
