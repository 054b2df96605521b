"""The rules of the house, read from the source: who imports whom, what no room does.

    experiments, benchmarks -> applications -> systems -> training, releases
                -> evaluation -> data, pretrained -> nets, losses -> ops
                -> io, runtime, errors

An arrow never runs back up. A new folder under `systems/` needs no edit here.
"""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = "vgg_unpool_jax"

# Rooms of the library from the ground up; a room may import its own floor and below.
FLOORS = (
    ("errors", "version"),
    ("io", "runtime"),
    ("ops",),
    ("nets", "losses"),
    ("data", "pretrained"),
    ("evaluation",),
    ("training", "releases"),
    ("systems",),
    ("applications",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
NOT_THE_LIBRARY = {"experiments", "benchmarks", "configs", "tests"}
# Where grain's absl flags have to be dealt with.
MAY_IMPORT_FLAGS = {f"{PACKAGE}/data/reader_processes.py"}
# Where torch and TensorFlow stand as what the library is measured against.
BENCHMARKS = "benchmarks/"
MAX_LINES = 500
MAX_COMMAND_LINES = 150


def _sources(*folders):
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "__pycache__" not in path.parts
    ]


LIBRARY = _sources(PACKAGE)
PROGRAMS = _sources("experiments", "benchmarks", "configs")


def _name(path):
    return path.relative_to(ROOT).as_posix()


def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _imports(path):
    """Dotted names of all modules that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{_name(path)} imports relatively"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _tops(path):
    return {name.split(".")[0] for name in _imports(path)}


def _room(path):
    relative = path.relative_to(ROOT / PACKAGE)
    return relative.parts[0].removesuffix(".py")


def _called_names(path):
    """Names and dotted names of everything that a file calls."""
    return {
        ast.unparse(node.func)
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call)
    }


def test_the_rules_see_the_library():
    assert len(LIBRARY) > 30 and len(PROGRAMS) > 3
    trainer = ROOT / PACKAGE / "training" / "trainer.py"
    assert f"{PACKAGE}.data" in _imports(trainer)
    assert _room(trainer) == "training"


def _offenders(paths, offends):
    """{file: what it does wrong} for the files of which `offends` tells something."""
    found = {_name(path): offends(path) for path in paths}
    return {name: wrong for name, wrong in found.items() if wrong}


def test_every_file_lives_in_a_room_of_the_plan():
    def unplanned(path):
        return {_room(path)} - {*FLOOR_OF, "__init__", "__main__"}

    assert not _offenders(LIBRARY, unplanned)


def test_no_arrow_runs_up():
    def too_high(path):
        names = {n for n in _imports(path) if n.startswith(f"{PACKAGE}.")}
        rooms = {name.split(".")[1] for name in names}
        return {r for r in rooms if FLOOR_OF[r] > FLOOR_OF[_room(path)]}

    files = [path for path in LIBRARY if path != ROOT / PACKAGE / "__init__.py"]
    assert not _offenders(files, too_high)


def test_the_package_itself_imports_its_version_only():
    tree = _tree(ROOT / PACKAGE / "__init__.py")
    top_level = {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    assert top_level == {f"{PACKAGE}.version"}


def test_the_library_imports_no_program_and_no_test():
    assert not _offenders(LIBRARY, lambda path: _tops(path) & NOT_THE_LIBRARY)


def test_tensorflow_is_imported_by_export_and_benchmarks_alone():
    def imports(path):
        return _tops(path) & {"tensorflow", "keras", "tf_keras"}

    offenders = _offenders(LIBRARY + PROGRAMS, imports)

    def may(name):
        return "/export/" in name or name.startswith(BENCHMARKS)

    assert not [name for name in offenders if not may(name)]


def test_torch_is_imported_by_weight_readers_and_benchmarks_alone():
    def imports(path):
        return _tops(path) & {"torch", "torchvision"}

    offenders = _offenders(LIBRARY + PROGRAMS, imports)
    allowed = (f"{PACKAGE}/pretrained/", BENCHMARKS)
    assert not [n for n in offenders if not n.startswith(allowed)]


def test_pmap_is_said_in_one_file_alone():
    def says(path):
        said = {"pmap", "shard_map"}
        return [
            node.lineno
            for node in ast.walk(_tree(path))
            if getattr(node, "attr", None) in said
            or getattr(node, "id", None) in said
            or getattr(node, "name", None) in said
        ]

    assert set(_offenders(LIBRARY + PROGRAMS, says)) == {
        f"{PACKAGE}/training/parallel.py"
    }


def test_the_library_neither_prints_nor_ends_the_program():
    forbidden = {"print", "exit", "quit", "sys.exit", "breakpoint", "pprint.pprint"}

    def does(path):
        raised = {
            ast.unparse(node.exc)
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.Raise) and node.exc is not None
        }
        exits = {text for text in raised if text.startswith("SystemExit")}
        return (_called_names(path) & forbidden) | exits

    assert not _offenders(LIBRARY, does)


def test_the_library_reads_no_flags():
    readers = {"absl.flags", "absl.app", "argparse", "ml_collections.config_flags"}
    offenders = _offenders(LIBRARY, lambda path: _imports(path) & readers)
    assert set(offenders) == MAY_IMPORT_FLAGS


def test_no_file_is_a_drawer_for_everything():
    drawers = {"utils", "util", "common", "misc", "helpers"}

    def drawer(path):
        parts = path.relative_to(ROOT).parts
        return {part.removesuffix(".py") for part in parts} & drawers

    assert not _offenders(LIBRARY + PROGRAMS, drawer)


def _lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def test_files_stay_readable_in_one_sitting():
    def too_long(path):
        return _lines(path) if _lines(path) > MAX_LINES else 0

    assert not _offenders(LIBRARY + PROGRAMS, too_long)


def test_commands_are_short():
    def too_long(path):
        return _lines(path) if _lines(path) > MAX_COMMAND_LINES else 0

    commands = _sources("experiments")
    assert len(commands) > 3
    assert not _offenders(commands, too_long)


def _modules_after(statement):
    """Top-level names in sys.modules after a statement in a fresh process."""
    code = f"import sys; {statement}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_importing_the_package_imports_no_jax():
    modules = _modules_after(f"import {PACKAGE}; {PACKAGE}.__version__")
    assert not modules & {"jax", "flax", "optax", "orbax", "numpy", "tensorflow"}


def test_training_needs_neither_tensorflow_nor_torch():
    modules = _modules_after(
        f"import {PACKAGE}.training.trainer, {PACKAGE}.systems.unpooling.pair"
    )
    assert "jax" in modules
    assert not modules & {"tensorflow", "keras", "torch", "torchvision"}


@pytest.mark.extended
def test_benchmarks_import_their_peers_only_where_they_are_asked_for():
    modules = _modules_after(
        "import benchmarks.run, benchmarks.pooling, "
        "benchmarks.losses, benchmarks.step, "
        "benchmarks.data_pipelines, benchmarks.reconstruction"
    )
    assert "jax" in modules
    assert not modules & {"tensorflow", "keras", "torch", "torchvision"}


def test_the_top_level_names_are_there():
    import vgg_unpool_jax
    from vgg_unpool_jax import load_encoder, load_pair, ops
    from vgg_unpool_jax.systems.unpooling import pair

    assert vgg_unpool_jax.max_pool_argmax is ops.max_pool_argmax
    assert vgg_unpool_jax.max_unpool is ops.max_unpool
    assert load_encoder is pair.load_encoder
    assert load_pair is pair.load_pair
    assert set(vgg_unpool_jax.__all__) <= set(dir(vgg_unpool_jax))
    for name in vgg_unpool_jax.__all__:
        getattr(vgg_unpool_jax, name)


def test_a_name_that_is_not_there_is_an_attribute_error():
    import vgg_unpool_jax

    with pytest.raises(AttributeError, match="has no attribute 'max_pool'"):
        _ = vgg_unpool_jax.max_pool
