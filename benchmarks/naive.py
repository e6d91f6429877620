"""The usual tutorial's loop: DataLoader, torchvision's ToTensor, sigmoid, BCE + KL, .item().

Written for the comparison, after the habits of the VAE examples for torch: workers and pinned
memory only with a GPU, the loss summed over the batch, its value read at every step.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from benchmarks import clock
from benchmarks.recipe import BATCH


class VAE(nn.Module):
    """784-512-512-2 and back."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(784, 512), nn.Linear(512, 512)
        self.mu, self.logvar = nn.Linear(512, 2), nn.Linear(512, 2)
        self.fc3, self.fc4, self.fc5 = nn.Linear(2, 512), nn.Linear(512, 512), nn.Linear(512, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.fc2(F.relu(self.fc1(x))))
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        h = F.relu(self.fc4(F.relu(self.fc3(z))))
        return torch.sigmoid(self.fc5(h)), mu, logvar


def loss_function(reconstruction: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Cross-entropy + KL, summed over the batch."""
    bce = F.binary_cross_entropy(reconstruction, x, reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def main() -> None:
    arguments = clock.parser().parse_args()
    device = torch.device(arguments.device)
    dataset = datasets.MNIST(str(arguments.data), train=True, transform=transforms.ToTensor())
    cuda = {"num_workers": 1, "pin_memory": True} if device.type == "cuda" else {}
    loader = DataLoader(
        Subset(dataset, range(arguments.images)),
        batch_size=BATCH,
        shuffle=True,
        **cuda,  # type: ignore[arg-type]
    )
    model = VAE().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    laps = clock.Clock()
    laps.start()
    while True:
        model.train()
        train_loss = 0.0
        for batch, _ in loader:
            x = batch.to(device).view(-1, 784)
            optimizer.zero_grad()
            reconstruction, mu, logvar = model(x)
            loss = loss_function(reconstruction, x, mu, logvar)
            loss.backward()
            train_loss += loss.item()
            optimizer.step()
        laps.lap(loss=train_loss / arguments.images)


if __name__ == "__main__":
    main()
