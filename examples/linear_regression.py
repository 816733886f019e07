"""Linear regression: find the line behind noisy points.

python examples/linear_regression.py
"""

import argparse

import trine

TRUE_WEIGHT, TRUE_BIAS, NOISE = 2.0, -1.0, 0.1


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    trine.manual_seed(options.seed)
    x = trine.rand(200, 1) * 4 - 2  # (200, 1), from -2 to 2
    y = TRUE_WEIGHT * x + TRUE_BIAS + NOISE * trine.randn(200, 1)

    weight = trine.zeros(1, requires_grad=True)
    bias = trine.zeros(1, requires_grad=True)
    optimizer = trine.optim.SGD([weight, bias], lr=options.lr)
    for step in range(options.steps):
        loss = ((x * weight + bias - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0 or step == options.steps - 1:
            print(f"step {step:4d}  loss {loss.item():.4f}  y = {weight.item():.3f} x + {bias.item():.3f}")
    return loss.item()


if __name__ == "__main__":
    main()
