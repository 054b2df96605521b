"""Pooling and unpooling of torch. Imported only where torch is asked for."""

import functools

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.peers import torch_device, torch_wait
from benchmarks.pooling_work import (
    POOLING,
    RELU_POOL,
    RELU_POOL_GRADIENT,
    Arrays,
    Program,
    minimum_bytes,
)
from benchmarks.timing import Candidate
from vgg_unpool_jax.ops.switches import torch_to_codes

_INDEX_BYTES = 8  # int64

FORMATS = {
    "torch": torch.contiguous_format,
    "torch, channels last": torch.channels_last,
}


def paths() -> dict[str, tuple]:
    """(memory format, whether compiled) by the name of the candidate."""
    found = {name: (chosen, False) for name, chosen in FORMATS.items()}
    if torch_device().type == "cuda":
        found |= {
            f"{name}, compiled": (chosen, True) for name, chosen in FORMATS.items()
        }
    return found


def program(operation: str, arrays: Arrays, memory_format, compiled: bool) -> Program:
    """One operation in one memory format."""
    dtype = getattr(torch, arrays.dtype)

    def tensor(array):
        # NHWC to the axes that torch wants; the format says how they lie in memory.
        moved = torch.from_numpy(array).permute(0, 3, 1, 2)
        moved = moved.to(torch_device(), dtype)
        return moved.contiguous(memory_format=memory_format)

    prepare = torch.compile(dynamic=False) if compiled else lambda function: function
    image, values = tensor(arrays.image), tensor(arrays.values)
    _, indices = F.max_pool2d(image, 2, return_indices=True)
    if operation == "pool":
        function = prepare(lambda x: F.max_pool2d(x, 2, return_indices=True))
        run = functools.partial(function, image)
    elif operation == RELU_POOL:
        function = prepare(lambda x: F.max_pool2d(F.relu(x), 2, return_indices=True))
        run = functools.partial(function, image)
    elif operation == "unpool":
        function = prepare(lambda v, i: F.max_unpool2d(v, i, 2))
        run = functools.partial(function, values, indices)
    elif operation == "pool, unpool":

        def both(x):
            pooled, codes = F.max_pool2d(x, 2, return_indices=True)
            return pooled, codes, F.max_unpool2d(pooled, codes, 2)

        run = functools.partial(prepare(both), image)
    else:
        if operation == "pool gradient":
            source, gradient = image.requires_grad_(), values
            output = F.max_pool2d(source, 2, return_indices=True)[0]
        elif operation == RELU_POOL_GRADIENT:
            source, gradient = image.requires_grad_(), values
            output = F.max_pool2d(F.relu(source), 2, return_indices=True)[0]
        else:
            source, gradient = values.requires_grad_(), tensor(arrays.image_gradient)
            output = F.max_unpool2d(source, indices, 2)

        def run():
            return torch.autograd.grad(output, source, gradient, retain_graph=True)[0]

    amount = minimum_bytes(operation, image.numel(), image.element_size(), _INDEX_BYTES)
    facts = {"switch_bytes": _INDEX_BYTES}
    candidate = Candidate(run, torch_wait, peer="torch", amount=amount, facts=facts)
    return Program(candidate, functools.partial(_read, operation, arrays.image.shape))


def _read(operation, image_shape, result) -> dict[str, np.ndarray]:
    def array(tensor):
        return tensor.detach().float().cpu().permute(0, 2, 3, 1).numpy()

    if operation in (*POOLING, "pool, unpool"):
        codes = torch_to_codes(result[1].cpu().numpy(), image_shape)
        named = {"pooled": array(result[0]), "codes": codes}
        if operation == "pool, unpool":
            named["image"] = array(result[2])
        return named
    return {"pooled" if operation == "unpool gradient" else "image": array(result)}
