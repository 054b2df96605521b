"""Arrays that XLA shall keep in memory and not compute again where they are used."""

import jax
import jax.numpy as jnp


def written_out(codes: jax.Array) -> jax.Array:
    """The same array, computed once and written to memory.

    Without it XLA may put the comparisons of a pool into the unpooling that uses its
    switches, when both are in one `jit`: it then reads the image a second time, sixteen
    times the bytes of its switches, and keeps it alive until there. On a CPU it does
    so always. On the other platforms an optimization barrier holds; on the CPU XLA
    drops those before it fuses, but never fuses into or out of a conditional. Both
    branches give the array, so that nothing but speed hangs on that.

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
    """As `written_out` on a CPU, nothing on other platforms.

    For what a CPU cannot vectorise within a fusion but an accelerator had rather not
    write out, such as codes that were just unpacked.
    """
    if not codes.size:
        return codes
    return jax.lax.platform_dependent(codes, cpu=_conditional, default=lambda a: a)


def _conditional(codes: jax.Array) -> jax.Array:
    # The condition has to be unknown to the compiler; which way it falls is all one.
    return jax.lax.cond(
        codes.reshape(-1)[0] < 128, lambda a: a, lambda a: a | jnp.uint8(0), codes
    )
