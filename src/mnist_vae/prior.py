"""p(z): N(0, I), or a mixture of Gaussians that is learned with the rest.

A learned prior lets codes become likely where q(z|x) puts them, which N(0, I) does not
(Jiang et al. 2017, arXiv:1611.05148; Tomczak & Welling 2018, arXiv:1705.07120, whose VampPrior
takes its components from pseudo-inputs instead). Both classes have the same methods.
"""

import torch
from torch import Tensor, nn

from mnist_vae import elbo, linear, runtime, sums


class Normal(nn.Module):
    """N(0, I) of `latent_dim` units; nothing to learn."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.units = latent_dim

    def initialize(self, generator: torch.Generator) -> None:
        """What training starts from, in place."""

    def log_density(self, z: Tensor) -> Tensor:
        """log p(z) of latent vectors (..., L): (...,), nats."""
        return elbo.log_standard_normal(z)

    def energy_(self, z: Tensor) -> Tensor:
        """-2 log p(z) - L log 2 pi, without a gradient: (..., L) -> (...,); may use z up."""
        return z.square_().sum(-1)

    def rate_terms(self, mean: Tensor, log_variance: Tensor, z: Tensor) -> Tensor:
        """What adds up, over the last axis, to the rate of q(z|x): (B, L) or, estimated, (B, 1).

        mean, log_variance (B, L) of q(z|x), z (..., B, L) drawn from it. Here KL in closed form,
        for the caller to add up as precisely as it needs.
        """
        return elbo.kl_per_unit(mean, log_variance)

    def moments(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each unit, each (L,)."""
        return torch.zeros(self.units, device=device), torch.ones(self.units, device=device)

    def sample(self, count: int, seed: int) -> Tensor:
        """Draws (count, L), on the CPU."""
        return torch.randn((count, self.units), generator=runtime.generator(seed, "prior"))


class Mixture(nn.Module):
    """sum_c w_c N(mean_c, diag(exp(log_variance_c))), w = softmax(logits); methods as of Normal."""

    def __init__(self, latent_dim: int, components: int) -> None:
        """The means are for `initialize` to draw; equal weights, unit variances."""
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(components, latent_dim))
        self.log_variance = nn.Parameter(torch.zeros(components, latent_dim))
        self.logits = nn.Parameter(torch.zeros(components))

    def initialize(self, generator: torch.Generator) -> None:
        """Means drawn from N(0, I), in place: no two components start alike."""
        nn.init.normal_(self.mean, generator=generator)

    def log_density(self, z: Tensor) -> Tensor:
        """log p(z), by one matmul of [z^2, z] with (2 L, C): (..., L) -> (...,), nats.

        Rounding takes about 1e-7 of the largest sum of (mean / deviation)^2: 1e-5 nats in practice.
        """
        precision = torch.exp(-self.log_variance)
        weight = torch.cat([-0.5 * precision, self.mean * precision], 1)
        constants = (elbo.LOG_2PI + self.log_variance + self.mean.square() * precision).sum(1)
        bias = self._log_weights() - 0.5 * constants
        of_components = linear.linear(torch.cat([z.square(), z], -1), weight, bias)
        # exp(-80) changes no sum, and MKL's exp takes ten times as long where it underflows.
        least = of_components.detach().amax(-1, keepdim=True) - 80
        return torch.logsumexp(torch.maximum(of_components, least), -1)

    def energy_(self, z: Tensor) -> Tensor:
        return -2 * self.log_density(z) - z.shape[-1] * elbo.LOG_2PI

    def rate_terms(self, mean: Tensor, log_variance: Tensor, z: Tensor) -> Tensor:
        """log q(z|x) - log p(z), averaged over the draws: there is no closed form."""
        ratio = elbo.log_normal(z, mean, log_variance) - self.log_density(z)
        return sums.mean(ratio.reshape(-1, len(mean))).unsqueeze(-1)

    def moments(self, device: torch.device) -> tuple[Tensor, Tensor]:
        weights = self._log_weights().exp().unsqueeze(1)
        mean = sums.rows(weights * self.mean)
        squares = (self.mean - mean).square() + self.log_variance.exp()
        variance = sums.rows(weights * squares)
        return mean.to(device), variance.sqrt().to(device)

    def sample(self, count: int, seed: int) -> Tensor:
        chooser = runtime.generator(seed, "prior/component")
        weights = self._log_weights().exp().cpu()
        chosen = torch.multinomial(weights, count, replacement=True, generator=chooser)
        mean, log_variance = (of.cpu()[chosen] for of in (self.mean, self.log_variance))
        noise = torch.randn(mean.shape, generator=runtime.generator(seed, "prior"))
        return elbo.reparameterize(mean, log_variance, noise)

    def _log_weights(self) -> Tensor:
        return self.logits - torch.logsumexp(self.logits, 0)


def of(latent_dim: int, components: int) -> Normal | Mixture:
    """The prior of a model: N(0, I) without components."""
    return Mixture(latent_dim, components) if components else Normal(latent_dim)
