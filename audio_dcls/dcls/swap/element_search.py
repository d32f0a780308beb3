"""The search for positions and spreads of elements whose kernels come closest to given kernels.

Axis legend: R kernels, L layers that share positions, K elements, Q candidate positions, M axes, S_a taps of axis a of
the dense kernel, T_a taps of axis a of the given kernels.

With B(p, s) the dense kernels (K, taps) of elements of weight 1 at positions p with spreads s, and t_l the kernel of
layer l, the search minimises

    sum_l min_w |w B(p, s) - t_l|^2 + ridge |w|^2

over p and s, which the layers share. The inner minimum is a linear system, so only p and s are searched (variable
projection: Golub and Pereyra, 1973): first among candidate positions, one element after another, always the best one
(orthogonal least squares: Chen, Billings and Luo, 1989), then by gradient steps. Elements are products of 1-D factors
f_a, so B B^T is the elementwise product of the f_a f_a^T, and B itself is never needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from audio_dcls.dcls.interpolation import Interpolation
from audio_dcls.dcls.kernel import axis_factors

_RIDGE, _FULL_RIDGE = 1e-4, 1e-6
"""Weight of |w|^2 for fewer elements than taps, where it prevents large weights of neighbours that cancel; and the
weight for as many elements as taps, which are far enough apart not to need it."""
_FIRST_STEP_TAPS = 0.05
"""Rate of the first gradient step (Adam), in taps; it falls to 0 along half a cosine."""
_FIRST_SPREAD = 0.2
"""Initial value of learned spreads, in taps, unless that of the form is higher."""
_LEAST_SPREAD = 0.01
"""Learned spreads stay above this, in taps: at 0 their gradient is 0, and training could not move them again."""
_INSET_TAPS = 0.02
"""Elements start this far inside the outermost taps and off every tap: on a tap a triangle has no slope."""
_INDEPENDENCE = 1e-4
"""Candidates are skipped if less than this share of them is independent of the elements already placed."""


class ElementSearch:
    """Elements that are fitted to kernels (R, L, T_0, .., T_{M-1}), in float64 and on the kernels' device.

    The kernels start at the taps `starts`, counted from 0, of a dense kernel of `sizes` taps. `held_spreads` (M, R, K)
    stay fixed; they are None if spreads are searched, or if the form has no spreads. The results are `positions`
    (M, R, K), in taps from the dense kernel's centre, and `spreads` (M, R, K) or None.
    """

    def __init__(
        self,
        kernels: Tensor,
        starts: Sequence[int],
        sizes: Sequence[int],
        form: Interpolation,
        num_elements: int,
        held_spreads: Tensor | None = None,
    ) -> None:
        self.kernels, self.sizes, self.form = kernels, tuple(sizes), form
        self.taps = tuple(kernels.shape[2:])
        self.windows = [slice(start, start + count) for start, count in zip(starts, self.taps, strict=True)]
        self.firsts = [start - size // 2 for start, size in zip(starts, self.sizes, strict=True)]
        self.learns_spreads = form.has_spreads and held_spreads is None
        self.spreads = held_spreads
        is_full = num_elements >= math.prod(self.taps)
        self.ridge = _FULL_RIDGE if is_full else _RIDGE
        if is_full:
            places = self._every_tap(num_elements)
            self.positions = places.unsqueeze(1).repeat(1, len(kernels), 1)
        else:
            self.positions = self._select(num_elements)
        if self.learns_spreads:
            self.spreads = torch.full_like(self.positions, max(form.initial_spread, _FIRST_SPREAD))

    def refine(self, num_steps: int) -> None:
        """Take gradient steps on spreads and positions; positions stay inside the dense kernel."""
        learned = [self.positions]
        if self.learns_spreads and self.spreads is not None:
            learned.append(self.spreads)
        optimizer = torch.optim.Adam([tensor.requires_grad_() for tensor in learned], betas=(0.9, 0.99))
        for step in range(num_steps):
            optimizer.param_groups[0]["lr"] = _FIRST_STEP_TAPS * (1 + math.cos(math.pi * step / num_steps)) / 2
            with torch.enable_grad():
                gram, overlap = self._system(self._factors())
                weights = self._solve(gram.detach(), overlap.detach())  # constant: at the minimum its slope is 0
                loss = (weights * (gram @ weights - 2 * overlap)).sum()
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
            with torch.no_grad():
                for coordinates, size in zip(self.positions, self.sizes, strict=True):
                    coordinates.clamp_(-(size // 2), size - 1 - size // 2)
                if self.learns_spreads and self.spreads is not None:
                    self.spreads.abs_().clamp_(_LEAST_SPREAD)
        for tensor in learned:
            tensor.requires_grad_(False)

    def weights(self) -> Tensor:
        """The best weights for the current positions and spreads, (R, K, L)."""
        return self._solve(*self._system(self._factors()))

    def _factors(self) -> tuple[Tensor, ...]:
        return axis_factors(self.positions, self.spreads, self.sizes, self.form)

    def _system(self, factors: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """B B^T and B t_l for factors M x (R or 1, K, S_a): (R or 1, K, K), (R, K, L)."""
        gram = torch.ones((), dtype=factors[0].dtype, device=factors[0].device)
        overlap = self.kernels
        for axis, (factor, window) in enumerate(zip(factors, self.windows, strict=True)):
            gram = gram * (factor @ factor.mT)
            overlap = torch.einsum(
                "rkt,rklt...->rkl..." if axis else "rkt,rlt...->rkl...", factor[..., window], overlap
            )
        return gram, overlap

    def _solve(self, gram: Tensor, overlap: Tensor) -> Tensor:
        """Solve (gram + ridge) w = overlap."""
        ridge = self.ridge * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        return torch.cholesky_solve(overlap, torch.linalg.cholesky(gram + ridge))

    def _every_tap(self, num_elements: int) -> Tensor:
        """A position near each tap of the kernels, then positions between taps, (M, K)."""
        between = self._grid([2 * count for count in self.taps])
        middle = between.mean(1, keepdim=True)
        between = between[:, (between - middle).square().sum(0).argsort(stable=True)]
        places = torch.cat([self._grid(self.taps), between], 1)
        return places[:, torch.arange(num_elements) % places.shape[1]]

    def _select(self, num_elements: int) -> Tensor:
        """Orthogonal least squares: one element after another, each at the candidate with the smallest error."""
        places = self._grid([2 * count for count in self.taps])
        spreads = None
        if self.form.has_spreads:
            spreads = torch.full_like(places, max(self.form.initial_spread, _FIRST_SPREAD))
            if self.spreads is not None:
                spreads = self.spreads.mean((1, 2)).unsqueeze(1).expand_as(places)
        candidates = axis_factors(places, spreads, self.sizes, self.form)
        gram, overlap = self._system(tuple(factor.unsqueeze(0) for factor in candidates))
        gram, rows = gram[0], torch.arange(len(self.kernels), device=overlap.device)
        new = gram.diagonal().repeat(len(rows), 1)  # squared norm of what each candidate would add
        least = _INDEPENDENCE * new
        added = new.new_zeros(len(rows), num_elements, places.shape[1])
        chosen = []
        for step in range(num_elements):
            gain = torch.where(new > least, overlap.square().sum(-1) / new, new - 1)
            best = gain.argmax(-1)
            chosen.append(best)
            known = torch.einsum("rk,rkq->rq", added[rows, :, best], added)
            scale = new[rows, best].clamp_min(1e-12).rsqrt().unsqueeze(1)
            added[:, step] = (gram[best] - known) * scale
            part = (overlap[rows, best] * scale).unsqueeze(1)
            overlap = overlap - added[:, step].unsqueeze(-1) * part
            new = (new - added[:, step].square()).clamp_min(0)
            new[rows, best] = 0
        return places[:, torch.stack(chosen, 1)]

    def _grid(self, counts: Sequence[int]) -> Tensor:
        """Evenly spaced positions over the kernels, just inside the outermost taps, (M, product of the counts)."""
        rows = []
        for first, taps, count in zip(self.firsts, self.taps, counts, strict=True):
            inset = _INSET_TAPS if taps > 1 else 0.0
            row = torch.linspace(first + inset, first + taps - 1 - inset, count, dtype=torch.float64)
            rows.append((row + inset / 2 if count == taps else row).to(self.kernels.device))
        return torch.stack(torch.meshgrid(*rows, indexing="ij")).flatten(1)


def num_candidates(taps: Sequence[int]) -> int:
    """The number Q of candidates for kernels with these taps along each axis."""
    return math.prod(2 * count for count in taps)
