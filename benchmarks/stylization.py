"""Suite `stylize`: style transfer, whole and by regions, and stages of the cascade.

Ours is the one pass with smoothing and colours, beside the cascade without either.
Weights and photos are random, on which times do not depend. The peer, torch, runs
PhotoWCT's loop over the cascade's pairs; see `photowct_torch` for what differs.
"""

import numpy as np

from benchmarks.harness import Candidate, Case, Report
from benchmarks.pair import random_pair, random_staged
from vgg_unpool_jax.applications.stylization.cascade import Stylizer
from vgg_unpool_jax.applications.stylization.finishing import transfer_look
from vgg_unpool_jax.applications.stylization.one_pass import OnePassStylizer
from vgg_unpool_jax.applications.stylization.regions import Regions
from vgg_unpool_jax.applications.stylization.smoothing import smooth

SUITE = "stylize"
_REGIONS = 4


def measure(report: Report) -> None:
    """Time the loop against torch's, then our stages."""
    report.skip_peers(SUITE, "tensorflow")
    blocks, size = (4, 3, 2, 1), (480, 704)
    if report.settings.small:
        blocks, size = (2, 1), (32, 48)
    content, style = (
        report.generator.integers(0, 256, (*size, 3)).astype(np.float32)
        for _ in range(2)
    )
    stylizer = Stylizer([random_pair(block) for block in blocks])
    _loops(report, stylizer, OnePassStylizer(random_staged()), content, style)
    _stages(report, stylizer, content, style)


def _case(name: str, size) -> Case:
    height, width = size
    facts = {"size": [height, width], "megapixels": height * width / 1e6}
    return Case(SUITE, f"{name}, {width}×{height}", facts=facts)


def _loops(report, stylizer, one_pass, content, style):
    size = content.shape[:2]
    levels = " ".join(map(str, stylizer.blocks))
    bands = np.arange(size[0]) * _REGIONS // size[0]
    labels = np.ascontiguousarray(np.broadcast_to(bands[:, None], size), np.int32)
    regions = Regions([str(index) for index in range(_REGIONS)], labels=labels)
    for name, ours, theirs in (
        ("whole", None, (None, None)),
        (f"{_REGIONS} regions", regions, (labels, labels)),
    ):
        case = _case(f"levels {levels}, {name}", size)
        if not report.wants(case.name):
            continue

        def run(ours=ours):
            statistics = stylizer.measure_style(style, ours)
            return stylizer.stylize(content, statistics, ours)

        def run_one_pass(ours=ours):
            statistics = one_pass.measure_style(style, ours)
            return transfer_look(one_pass, content, statistics, ours)

        candidates = {
            "ours": Candidate(run_one_pass, wait=lambda result: None),
            "cascade": Candidate(run, wait=lambda result: None),
        }
        if "torch" in report.peers:
            from benchmarks.photowct_torch import PhotoWCT

            loop = PhotoWCT(list(stylizer.pairs.values()))
            candidates["torch"] = Candidate(
                lambda loop=loop, theirs=theirs: loop.stylize(content, style, *theirs),
                wait=lambda result: None,
                peer="torch",
            )
        report.time(case, candidates)


def _stages(report, stylizer, content, style):
    size = content.shape[:2]
    statistics = stylizer.measure_style(style)
    stages = {"style statistics": lambda: stylizer.measure_style(style)}
    for block, pair in stylizer.pairs.items():
        level = Stylizer([pair])
        stages[f"level {block}"] = lambda level=level: level.stylize(
            content, statistics
        )
    stages["guided filter"] = lambda: smooth("guided", content, style)
    # Its iterations depend on the photo: noise is the hardest, a photo the usual one.
    smoothed = np.asarray(smooth("guided", content, style))
    stages["matting"] = lambda: smooth("matting", smoothed, style)
    for name, run in stages.items():
        case = _case(f"stage {name}", size)
        if report.wants(case.name):
            report.time(case, {"ours": Candidate(run)})
