"""The Engine: a Program as a differentiable ``nn.Module``, its oracle and its self-check."""

from hwsim.files.kernel_cache import ensure_kernel_cache

ensure_kernel_cache(__file__)
