"""Arrays that XLA stores in memory instead of recomputing them at every use."""

import jax
import jax.numpy as jnp


def written_out(codes: jax.Array) -> jax.Array:
    """The same array, computed once and written to memory.

    Without it XLA may fuse the comparisons of a pool into the unpooling that uses its
    switches, when both are in one `jit`: it then reads the image a second time, sixteen
    times the bytes of its switches, and keeps it alive until then. On a CPU it always
    does. On the other platforms an optimization barrier prevents this; on the CPU XLA
    drops barriers before it fuses, but never fuses into or out of a conditional. Both
    branches return the same array, so only the speed depends on this.

    Args:
      codes: any uint8 array.

    Returns:
      `codes`.
    """
    if not codes.size:
        return codes
    return jax.lax.platform_dependent(
        codes, cpu=_conditional, default=jax.lax.optimization_barrier
    )


def written_out_on_cpu(codes: jax.Array) -> jax.Array:
    """Like `written_out` on a CPU, the identity on other platforms.

    For arrays that a CPU cannot vectorise within a fusion and that an accelerator
    should not write out, such as codes that were just unpacked.
    """
    if not codes.size:
        return codes
    return jax.lax.platform_dependent(codes, cpu=_conditional, default=lambda a: a)


def _conditional(codes: jax.Array) -> jax.Array:
    # The compiler must not know the condition; both branches return the same array.
    return jax.lax.cond(
        codes.reshape(-1)[0] < 128, lambda a: a, lambda a: a | jnp.uint8(0), codes
    )
