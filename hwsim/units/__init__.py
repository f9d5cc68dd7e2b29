"""The hardware units, one file each: what a unit computes and what it costs."""

from hwsim.files.kernel_cache import ensure_kernel_cache

ensure_kernel_cache(__file__)
