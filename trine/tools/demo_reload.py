"""The second process of the demo: read a saved network, predict, and write the logits.

python -m trine.tools.demo_reload MODEL.safetensors IMAGES.npy LOGITS.npy
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

import trine
from trine.tools.demo_model import DigitNet, predict


def main(arguments: Sequence[str]) -> None:
    """Load the network from the first path, and write the logits of the images at the second to the third."""
    model_path, images_path, logits_path = arguments
    model = DigitNet()
    model.load_state_dict(trine.load(model_path))
    np.save(logits_path, predict(model, np.load(images_path, allow_pickle=False)))


if __name__ == "__main__":
    main(sys.argv[1:])
