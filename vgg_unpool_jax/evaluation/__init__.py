"""Evaluation: metrics that merge, result files, pictures."""

from vgg_unpool_jax.evaluation.metrics import (
    METRICS,
    MetricInfo,
    compute_photo_metrics,
    missing_metrics,
    photo_l1,
    photo_l2,
    photo_ms_ssim,
    photo_psnr,
    photo_ssim,
)
from vgg_unpool_jax.evaluation.pictures import (
    error_image,
    picture_grid,
    save_png,
    side_by_side,
)
from vgg_unpool_jax.evaluation.provenance import provenance
from vgg_unpool_jax.evaluation.reconstruction import (
    NothingEvaluatedError,
    ReconstructionScore,
    evaluate_reconstruction,
)
from vgg_unpool_jax.evaluation.results import (
    format_table,
    read_results,
    write_results,
)
from vgg_unpool_jax.evaluation.statistics import MetricSums, Summary

__all__ = [
    "METRICS",
    "MetricInfo",
    "MetricSums",
    "NothingEvaluatedError",
    "ReconstructionScore",
    "Summary",
    "compute_photo_metrics",
    "error_image",
    "evaluate_reconstruction",
    "format_table",
    "missing_metrics",
    "photo_l1",
    "photo_l2",
    "photo_ms_ssim",
    "photo_psnr",
    "photo_ssim",
    "picture_grid",
    "provenance",
    "read_results",
    "save_png",
    "side_by_side",
    "write_results",
]
