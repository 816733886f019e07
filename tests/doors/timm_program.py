"""Models of the package timm, run with PyTorch or with Trine in its place: `timm_program.py torch|trine RESULTS.npz`.

The modules of timm are loaded one by one: the package as a whole needs torchvision, which has nothing to do with these models.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from typing import Any

import numpy as np


class Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `torch` and everything below it in Trine."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.split(".")[0] == "torch":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        source: Any = importlib.import_module("trine")
        for part in spec.name.split(".")[1:]:
            source = getattr(source, part)
        module = types.ModuleType(spec.name)
        module.__getattr__ = lambda name: getattr(source, name)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        module.__path__ = []


def stand_in(name: str, path: str | None = None, **values: Any) -> None:
    """Put a module into the place of a package whose own code would import too much."""
    module = types.ModuleType(name)
    module.__path__ = [path] if path else []
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    vars(module).update(values)
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)


def models(torch: Any) -> dict[str, Any]:
    """Load the modules of timm and return functions that build models."""
    found = importlib.util.find_spec("timm")
    folder = str(found.submodule_search_locations[0])  # type: ignore[union-attr, index]
    grey = dict.fromkeys([f"IMAGENET_{a}_{b}" for a in ("DEFAULT", "INCEPTION", "DPN") for b in ("MEAN", "STD")], (0.5, 0.5, 0.5))
    stand_in("torchvision")
    stand_in("torchvision.ops")
    stand_in("torchvision.ops.misc", FrozenBatchNorm2d=type("FrozenBatchNorm2d", (torch.nn.Module,), {}))
    stand_in("torchvision.models")
    stand_in("torchvision.models.feature_extraction", create_feature_extractor=None, get_graph_node_names=None)
    stand_in("timm", folder, __version__="1.0")
    stand_in("timm.models", f"{folder}/models")
    stand_in("timm.data", f"{folder}/data", **grey, OPENAI_CLIP_MEAN=(0.5,) * 3, OPENAI_CLIP_STD=(0.5,) * 3)
    layers = importlib.import_module("timm.layers")
    resnet = importlib.import_module("timm.models.resnet")
    transformer = importlib.import_module("timm.models.vision_transformer")

    SMALL: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 5}
    return {
        "resnet": lambda: resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=5, channels=(8, 16, 24, 32)),
        "resnet_d_se": lambda: resnet.ResNet(
            resnet.Bottleneck,
            [1, 1, 1, 1],
            num_classes=5,
            channels=(8, 16, 24, 32),
            stem_type="deep",
            avg_down=True,
            aa_layer=layers.BlurPool2d,
            block_args={"attn_layer": "se"},
        ),
        "vit": lambda: transformer.VisionTransformer(**SMALL),
        "vit_mean": lambda: transformer.VisionTransformer(**SMALL, global_pool="avg", class_token=False, qk_norm=True, init_values=0.1),
        "vit_map": lambda: transformer.VisionTransformer(**SMALL, global_pool="map", dynamic_img_size=True),
    }


def fill(torch: Any, model: Any) -> None:
    """Give a model the same weights with both libraries."""
    random, state = np.random.default_rng(0), {}
    for name, value in model.state_dict().items():
        array = value.numpy()
        if array.dtype.kind == "f":
            array = random.standard_normal(array.shape) * 0.1
            array = 1 + np.abs(array) if "running_var" in name or (name.endswith("weight") and array.ndim == 1) else array
        state[name] = torch.from_numpy(np.array(array))
    model.load_state_dict(state)


def run(library: str) -> dict[str, Any]:
    """Evaluate and train every model; return outputs, losses and parameters."""
    if library == "trine":
        importlib.import_module("trine.nn")
        sys.meta_path.insert(0, Alias())
    torch: Any = importlib.import_module("torch")
    results: dict[str, Any] = {}
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((4, 3, 32, 32)))
    for name, make in models(torch).items():
        model = make().double()
        fill(torch, model)
        results[f"{name} evaluation"] = model.eval()(x).detach().numpy()
        if name == "vit_map":
            results[f"{name} other size"] = model(x[:, :, :24, :16]).detach().numpy()
        optimizer = torch.optim.SGD(model.train().parameters(), lr=0.01, momentum=0.9)
        for step in range(2):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), torch.tensor([1, 3, 0, 4]))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            results[f"{name} loss {step}"] = np.array(loss.item())
        for key, p in list(model.named_parameters())[:3]:
            results[f"{name} {key}"] = p.detach().numpy()
    return results


if __name__ == "__main__":
    np.savez(sys.argv[2], **run(sys.argv[1]))
