"""Mapping networks from an embedding (B, D) to the vector of one pseudo-word (B, W)."""

from torch import Tensor, nn


class Im2Text(nn.Module):
    """Pic2Word's network (Saito et al., CVPR 2023): layers of Linear, Dropout, ReLU, and a Linear on top.

    Args:
        embed_dim: D.
        width: W.
        hidden: of the hidden layers; the paper's 512, for any backbone.
        layers: of Linear, Dropout, ReLU.
        dropout: the paper's 0.1.
    """

    def __init__(self, embed_dim: int, width: int, *, hidden: int = 512, layers: int = 2, dropout: float = 0.1):
        super().__init__()
        self.options = {"embed_dim": embed_dim, "width": width, "hidden": hidden, "layers": layers, "dropout": dropout}
        widths = [embed_dim, *[hidden] * layers]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(left, right), nn.Dropout(dropout), nn.ReLU())
                for left, right in zip(widths[:-1], widths[1:], strict=True)
            )
        )
        self.fc_out = nn.Linear(widths[-1], width)

    def forward(self, features: Tensor) -> Tensor:
        return self.fc_out(self.layers(features))


class Phi(nn.Module):
    """SEARLE's and LinCIR's network (Baldrati et al., ICCV 2023): three Linears with GELU and Dropout between.

    Args:
        embed_dim: D.
        width: W.
        hidden: of the two hidden layers; the papers' 4 D.
        dropout: the papers' 0.5.
    """

    def __init__(self, embed_dim: int, width: int, *, hidden: int | None = None, dropout: float = 0.5):
        super().__init__()
        hidden = hidden or 4 * embed_dim
        self.options = {"embed_dim": embed_dim, "width": width, "hidden": hidden, "dropout": dropout}
        self.layers = nn.Sequential(
            nn.Linear(embed_dim, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


MAPPINGS = {"im2text": Im2Text, "phi": Phi}
