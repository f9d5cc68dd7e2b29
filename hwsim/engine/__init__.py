"""The Engine: a Program as a differentiable ``nn.Module``, its oracle and its self-check."""
