"""Evaluation: metrics that merge, result files, pictures."""

from vgg_unpool_jax.evaluation.artefacts import (
    GridSums,
    compute_artefacts,
    missing_artefacts,
    phase_counts,
    photo_border_l1,
    photo_center_l1,
    photo_color_error,
    photo_phase_errors,
)
from vgg_unpool_jax.evaluation.correlation import (
    CorrelationSums,
    photo_pair_moments,
    photo_pcc,
)
from vgg_unpool_jax.evaluation.frechet import (
    FeatureMoments,
    frechet_distance,
    spatial_mean_features,
)
from vgg_unpool_jax.evaluation.latent_pictures import (
    kl_plot,
    latent_map,
    traversal_grid,
)
from vgg_unpool_jax.evaluation.latents import (
    LatentStatistics,
    embed_tsne,
    latent_statistics,
)
from vgg_unpool_jax.evaluation.metrics import (
    ARTEFACT_METRICS,
    METRICS,
    VAE_METRICS,
    MetricInfo,
    compute_photo_metrics,
    missing_metrics,
    photo_l1,
    photo_l2,
    photo_ms_ssim,
    photo_psnr,
    photo_ssim,
)
from vgg_unpool_jax.evaluation.padded_ssim import photo_ssim_zero_padded
from vgg_unpool_jax.evaluation.pictures import (
    PHOTO_SUFFIXES,
    enlarge,
    error_image,
    picture_grid,
    save_jpeg,
    save_photo,
    save_png,
    side_by_side,
    square_grid,
    strip,
)
from vgg_unpool_jax.evaluation.provenance import provenance
from vgg_unpool_jax.evaluation.reconstruction import (
    NothingEvaluatedError,
    ReconstructionScore,
    evaluate_reconstruction,
)
from vgg_unpool_jax.evaluation.reports import Report, make_report, read_labels
from vgg_unpool_jax.evaluation.results import (
    format_table,
    read_results,
    write_results,
)
from vgg_unpool_jax.evaluation.statistics import MetricSums, Summary
from vgg_unpool_jax.evaluation.vae_pictures import walk

__all__ = [
    "ARTEFACT_METRICS",
    "METRICS",
    "PHOTO_SUFFIXES",
    "VAE_METRICS",
    "CorrelationSums",
    "FeatureMoments",
    "GridSums",
    "LatentStatistics",
    "MetricInfo",
    "MetricSums",
    "NothingEvaluatedError",
    "ReconstructionScore",
    "Report",
    "Summary",
    "compute_artefacts",
    "compute_photo_metrics",
    "embed_tsne",
    "enlarge",
    "error_image",
    "evaluate_reconstruction",
    "format_table",
    "frechet_distance",
    "kl_plot",
    "latent_map",
    "latent_statistics",
    "make_report",
    "missing_artefacts",
    "missing_metrics",
    "phase_counts",
    "photo_border_l1",
    "photo_center_l1",
    "photo_color_error",
    "photo_l1",
    "photo_l2",
    "photo_ms_ssim",
    "photo_pair_moments",
    "photo_pcc",
    "photo_phase_errors",
    "photo_psnr",
    "photo_ssim",
    "photo_ssim_zero_padded",
    "picture_grid",
    "provenance",
    "read_labels",
    "read_results",
    "save_jpeg",
    "save_photo",
    "save_png",
    "side_by_side",
    "spatial_mean_features",
    "square_grid",
    "strip",
    "traversal_grid",
    "walk",
    "write_results",
]
