"""What the tabs share: photos that come in, heavy work, results."""

import contextlib
import functools
import logging
import pathlib
import re
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr
import numpy as np

from vgg_unpool_jax.applications.studio.jobs import (
    CancelledError,
    Job,
    Session,
    Sessions,
)
from vgg_unpool_jax.applications.studio.looks import Looks
from vgg_unpool_jax.applications.studio.models import Known, Models
from vgg_unpool_jax.applications.studio.page.markup import Figure
from vgg_unpool_jax.applications.studio.photos import Photo, read_photo, save_shown
from vgg_unpool_jax.applications.studio.style import StyleWork
from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.evaluation.pictures import save_photo

_LOG = logging.getLogger(__name__)

# Heavy work is done one by one, whoever asks for it.
HEAVY = "heavy"
MAX_WAITING = 20  # events in the queue
_PHOTO_HEIGHT = 240

_SESSION_FOLDERS = re.compile(r"/[^\s,]*vgg_unpool_studio-[^\s,]*/")


def with_preprocess(component: type, preprocess: Callable) -> type:
    """A component that reads what comes in differently.

    gradio makes components anew when they are updated, so the class has to know; and
    its metaclass would write a stub file beside this module.
    """
    methods = {"preprocess": preprocess, "__module__": __name__}
    return type.__new__(type(component), component.__name__, (component,), methods)


def _path_of(_, payload: Any) -> str | None:
    """The path of an upload, unread; addresses and data in place of one are none."""
    return getattr(payload, "path", None)


# The library's reader decodes photos, within limits, and gradio's does not.
_Photo = with_preprocess(gr.Image, _path_of)

# (session, job, values of the inputs) -> values of the outputs
Work = Callable[..., Any]


def _has_photo(photo: Photo | None, *_) -> bool:
    return photo is not None


class Page:
    """The page under construction, and the work behind it.

    Attributes:
      models: see `Models`.
      sessions: see `Sessions`.
      looks: see `Looks`.
      styles: see `StyleWork`.
      opened: what `when_opened` was told.
    """

    def __init__(self, models: Models, sessions: Sessions, looks: Looks):
        """Keep what tabs need."""
        self.models, self.sessions, self.looks = models, sessions, looks
        self.styles = StyleWork(models)
        self.opened: list[tuple[Callable, Sequence[Any]]] = []
        # gradio forgets an event that was cancelled while its thread still works.
        self._busy = threading.Lock()

    def photo(self, label: str) -> gr.State:
        """A place for a photo; the value of the state is its `Photo`, or None."""
        image = _Photo(
            label=label,
            type="filepath",
            sources=["upload", "clipboard"],
            height=_PHOTO_HEIGHT,
            min_width=200,
            buttons=[],
            elem_classes=["photo"],
        )
        state = gr.State()

        def receive(path: str | None, request: gr.Request):
            if path is None:
                return gr.update(value=None, label=label), None
            try:
                session = self.sessions.of(request.session_hash)
                photo = self.take(session, path)
            except UserError as error:
                gr.Warning(_without_folders(error), title="This file is not taken")
                return gr.update(value=None, label=label), None
            shown = session.new_file("preview.png")
            save_shown(shown, photo.preview)
            title = f"{label} {photo.width}×{photo.height}"
            return gr.update(value=str(shown), label=title), photo

        private = {"api_visibility": "private", "show_progress": "minimal"}
        both = [image, state]
        image.upload(receive, image, both, concurrency_limit=2, **private)
        image.clear(lambda: (gr.update(label=label), None), None, both, **private)
        return state

    def take(self, session: Session, path: str) -> Photo:
        """The photo of an upload, for work in its session."""
        found = self.sessions.adopt(session, path)
        return read_photo(found, found.name)

    def when_opened(self, function: Callable, outputs: Sequence[Any]) -> None:
        """Call a function for everybody who opens the page."""
        self.opened.append((function, outputs))

    def work(self, run: Work) -> Callable:
        """An event handler that does heavy work for the session that asks for it."""

        def handler(request: gr.Request, progress=gr.Progress(), *values):  # noqa: B008
            session = self.sessions.of(request.session_hash)

            def report(share: float, what: str) -> None:
                progress(share, desc=what)

            with shown_errors(), session.job(report) as job:
                while not self._busy.acquire(timeout=0.5):
                    job.say(0.0, "waiting")
                try:
                    return run(session, job, *values)
                finally:
                    self._busy.release()

        return handler

    def heavy(
        self,
        triggers: Sequence[Any],
        run: Work,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        cancel: gr.Button,
        **options: Any,
    ) -> None:
        """Run work when one of several things happens on the page.

        Args:
          triggers: events of components.
          run: the work.
          inputs: components.
          outputs: components; the first shows the progress.
          cancel: a button that ends it.
          **options: of `gr.on`.
        """
        event = gr.on(
            triggers,
            self.work(run),
            list(inputs),
            list(outputs),
            api_visibility="private",
            concurrency_limit=1,
            concurrency_id=HEAVY,
            show_progress_on=[outputs[0]],
            **options,
        )
        cancel.click(
            self._cancel,
            None,
            None,
            cancels=[event],
            queue=False,
            api_visibility="private",
        )

    def previewed(
        self,
        run: Work,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        actions: Sequence[gr.Button],
        changes: Sequence[Any],
        ready: Callable[..., bool] = _has_photo,
    ) -> None:
        """Run a tab's work when a button is pressed or something changes.

        Args:
          run: the work; where there is a button for the full size, its keyword `whole`
            says whether that is asked for.
          inputs: components.
          outputs: components; the first shows the progress.
          actions: the buttons that `actions` made.
          changes: events of components.
          ready: whether the inputs' values suffice for the work after a change.
        """
        first, *full, cancel = actions
        preview = functools.partial(run, whole=False) if full else run

        def run_if_ready(session, job, *values):
            if not ready(*values):
                return [gr.skip() for _ in outputs]
            return preview(session, job, *values)

        rest = inputs, outputs, cancel
        self.heavy([first.click], preview, *rest)
        self.heavy(changes, run_if_ready, *rest, trigger_mode="always_last")
        for button in full:
            self.heavy([button.click], functools.partial(run, whole=True), *rest)

    def load(self, known: Known, job: Job) -> Any:
        """A model, loaded by the first call."""
        job.say(0.0, f"loading {known.title}")
        return self.models.load(known)

    def _cancel(self, request: gr.Request) -> None:
        self.sessions.of(request.session_hash).cancel()


@contextlib.contextmanager
def shown_errors() -> Iterator[None]:
    """Errors as sentences on the page; of bugs the traceback is in the terminal."""
    try:
        yield
    except CancelledError:
        raise gr.Error(
            "Nothing was changed.", title="Cancelled", duration=4, print_exception=False
        ) from None
    except UserError as error:
        raise gr.Error(
            _without_folders(error), title="Not done", print_exception=False
        ) from error
    except MemoryError as error:
        sentence = "there is not enough memory for this: take a smaller photo"
        raise gr.Error(sentence, title="Not done", print_exception=False) from error
    except gr.Error:
        raise
    except Exception as error:
        _LOG.exception("the studio failed")
        raise gr.Error(
            f"this is a bug ({type(error).__name__}); the terminal has its traceback",
            title="Not done",
            print_exception=False,
        ) from error


def _without_folders(error: UserError) -> str:
    """The sentence, with the names of a session's files and not where they are."""
    return _SESSION_FOLDERS.sub("", str(error))


def required(photo: Photo | None, what: str = "a photo") -> Photo:
    """The photo of a state; a sentence where there is none yet."""
    if photo is None:
        raise UserError(f"choose {what} first")
    return photo


def shown(
    session: Session, image: np.ndarray, name: str, caption: str, alt: str
) -> Figure:
    """A picture for the page."""
    path = session.new_file(f"{name}.png")
    save_shown(path, image)
    return Figure(path, caption, alt, image.shape[:2])


def small(session: Session, image: np.ndarray, caption: str, alt: str) -> Figure:
    """A picture of a list."""
    path = session.new_file("small.png")
    save_shown(path, image, 480)
    return Figure(path, caption, alt, image.shape[:2])


def saved(session: Session, image: np.ndarray, name: str) -> str:
    """A picture to download."""
    path = session.new_file(name)
    save_photo(path, image)
    return str(path)


def zipped(session: Session, name: str, paths: Sequence[pathlib.Path]) -> str | None:
    """Files to download together; None for none."""
    if not paths:
        return None
    target = session.new_file(name)
    names: set[str] = set()
    with zipfile.ZipFile(target, "w") as archive:
        for path in paths:
            name = path.name
            while name in names:
                name = f"again_{name}"
            names.add(name)
            archive.write(path, name)
    return str(target)


def stem(photo: Photo) -> str:
    """Of the names of results."""
    return pathlib.PurePath(photo.name).stem or "photo"


def actions(first: str, second: str | None = "Full size") -> list[gr.Button]:
    """The buttons of a tab: for the preview, for the whole photo, and to cancel."""
    with gr.Row(elem_classes=["actions"]):
        names = [(first, "primary"), (second, "secondary"), ("Cancel", "stop")]
        return [
            gr.Button(name, variant=variant, min_width=96)
            for name, variant in names
            if name
        ]


def result(label: str) -> gr.HTML:
    """Where results are shown."""
    return gr.HTML(
        '<p class="empty">Your result will be here.</p>',
        label=label,
        elem_classes=["result"],
        js_on_load=None,
        min_height=120,
    )


def command_box() -> gr.Textbox:
    """The command line that repeats a result."""
    return gr.Textbox(
        label="The same on the command line",
        interactive=False,
        lines=1,
        max_lines=8,
        buttons=["copy"],
        elem_classes=["command"],
    )


def repeated(line: str) -> Any:
    """Update of `command_box`, which is not shown where no command does the same."""
    return gr.update(value=line, visible=bool(line))


def download(label: str) -> gr.DownloadButton:
    """A button that appears with the file."""
    return gr.DownloadButton(label, visible=False, size="sm")


def offer(path: str | None, label: str) -> Any:
    """Update of a download button."""
    if path is None:
        return gr.update(visible=False)
    return gr.update(value=path, label=label, visible=True)
