"""DM-AT: TRADES on diffusion models' images, averaged (Wang et al. 2023, arXiv:2302.04638)."""

from dataclasses import dataclass

from robench.training.method import method
from robench.training.mixed import Mixed


@dataclass(frozen=True, kw_only=True)
class Dmat(Mixed):
    """Seven tenths of each batch are extra images; averaged weights are deployed.

    It is three methods, one in the other: this one mixes batches as port does, inner averages
    weights (ema), and inner.inner is the loss (trades_ls). extra=FILE names an .npz file such as
    the authors' images of CIFAR-10: arrays image, (N, H, W, C), uint8, and label, (N,). Without a
    file the images are those of a small variational auto-encoder, which is trained first on the
    real ones; its photographs are blurs, so there a file is what makes this method.

    Reduces to: smoothed TRADES at real = 1 and inner.decay = 0.

    Differs from the authors' code: the statistics of batch normalisation are averaged as weights
    are (theirs: those of the network in training), and its weights decay as others do (theirs do
    not). Their recipe is "dmat[recipe.batch_size=512,recipe.lr=0.2,recipe.nesterov=true,
    recipe.schedule=cosine,recipe.epochs=400]" with a warm-up of the rate and SiLU in the network.
    """


# The authors' decay, from 2.5 % of training on; what is in it has presets of its own.
AVERAGED = method("ema", changes={"inner": "trades_ls", "decay": 0.995, "start": 0.025})

presets = {  # the authors' share of real images; the generator is port's
    "*": Dmat(inner=AVERAGED, real=0.3),
    "digits": Dmat(inner=AVERAGED, real=0.3, generator_share=3.0, width=8),
    "mnist": Dmat(inner=AVERAGED, real=0.3, generator_share=0.1),
    "cifar10": Dmat(inner=AVERAGED, real=0.3, generator_share=0.2, latent=64, width=32),
}
