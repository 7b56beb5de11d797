"""PORT: generated images in every batch of a method (Sehwag et al. 2022, arXiv:2104.09425)."""

from dataclasses import dataclass

from robench.training.method import method
from robench.training.mixed import Mixed


@dataclass(frozen=True, kw_only=True)
class Port(Mixed):
    """A share of each batch are images of a proxy of the data's distribution.

    With extra=FILE those are its images, the layout of the files that come with later papers:
    arrays image, (N, H, W, C), uint8, and label, (N,). Without a file they are drawn once from a
    small conditional variational auto-encoder, which is trained on the same real images first.
    "port[samples=250,1000,4000]" is a sweep over the number of images.

    Reduces to: its inner method at real = 1.

    Differs from the authors' code: theirs adds 128 images of a diffusion model to 128 real ones;
    here a batch is as large as the recipe says, so that a step costs the same and an epoch sees as
    many images, of which half are real. Their setting gamma, the paper's weight of the real loss,
    is read and never used: the share of the batch stands for it, there and here. Extra images are
    drawn with replacement (theirs: shuffled), and augmented (theirs of CIFAR-10: not). The
    generator is ours, far smaller than a diffusion model, and knows nothing but the training part.
    """


MADRY = method("madry")  # the authors' default trainer, with its preset for each data set

presets = {  # their equal parts; the generator is ours
    "*": Port(inner=MADRY),
    "digits": Port(inner=MADRY, generator_share=3.0, width=8),
    "mnist": Port(inner=MADRY, generator_share=0.1),  # 10 epochs of 100
    "cifar10": Port(inner=MADRY, generator_share=0.2, latent=64, width=32),
}
