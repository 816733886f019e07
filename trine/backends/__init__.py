"""Switches of PyTorch's libraries, so that programs which set them run. Trine has a compiler of its own instead: a switch is kept, and has
no effect; what asks whether a library is there is answered truly.

>>> import trine
>>> trine.backends.cudnn.deterministic = True
>>> trine.backends.mps.is_available()
False
"""

from trine.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum, quantized

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum", "quantized"]
