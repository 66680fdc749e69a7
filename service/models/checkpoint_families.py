"""What a checkpoint looks like by the names of its tensors, so that one of another network is told
by a name and not by a list of keys.
"""

import re
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

# The first row whose pattern is found in a name tells the family; the beginnings are those of
# torchvision's names for its members, where each can be built on the meta device, without
# memory.
_FAMILIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (r"resnet\.(embedder|encoder)\.", "Hugging Face's ResNet", ()),
    (r"(vit|deit|beit|dinov2)\.(embeddings|encoder)\.", "Hugging Face's vision transformers", ()),
    (r"(convnext|convnextv2|mobilenet_v[12]|regnet|efficientnet)\.e", "Hugging Face's library", ()),
    (r"(backbone\.body|roi_heads|rpn)\.", "torchvision's detectors", ()),
    (r"aux_classifier\.", "torchvision's segmentation networks", ()),
    (r"blocks\.\d+\.attn\.qkv\.", "timm's vision transformers", ()),
    (r"encoder\.layers\.encoder_layer_\d+\.", "a vision transformer", ()),
    (r"layers\.\d+\.blocks\.\d+\.attn\.", "timm's Swin transformer", ()),
    (r"relative_position_bias_table", "a Swin transformer", ()),
    (r"stages\.\d+\.blocks\.\d+\.(conv_dw|mlp)", "timm's ConvNeXt", ()),
    (r"features\.\d+\.\d+\.layer_scale", "a ConvNeXt", ()),
    (r"blocks\.\d+\.\d+\.(conv_pw|conv_dw|se\.)", "timm's EfficientNet or MobileNet", ()),
    (r"block\d\.layer\.\d+\.bn1\.", "a WideResNet (Zagoruyko and Komodakis)", ()),
    (r"denseblock\d+\.denselayer", "a DenseNet", ()),
    (r"Mixed_5b\.", "an Inception v3", ("inception_v3",)),
    (r"inception[345][a-e]\.", "a GoogLeNet", ("googlenet",)),
    (r"squeeze\.weight", "a SqueezeNet", ("squeezenet",)),
    (r"stage\d\.\d+\.branch2\.", "a ShuffleNet V2", ("shufflenet",)),
    (r"trunk_output\.", "a RegNet", ()),
    (r"features\.\d+\.conv\.\d", "a MobileNet V2", ("mobilenet_v2",)),
    (
        r"features\.\d+(\.\d+)?\.block\.",
        "an EfficientNet or MobileNet V3",
        (),
    ),
    (r"layers\.\d+\.\d+\.layers\.\d+\.", "an MNASNet", ()),
    (r"layer[1-4]\.\d+\.conv\d\.", "a ResNet", ("resnet", "resnext", "wide_resnet")),
    (r"features\.\d+\.weight", "a VGG or AlexNet", ("vgg", "alexnet")),
)


def looks_like(state: Mapping[str, Tensor]) -> str | None:
    """Tell what network a state dict belongs to.

    Args:
        state: its tensors by name, prefixes included.

    Returns:
        "torchvision's resnet34" where the tensors are those of a network of torchvision's, its
        last layer aside; else the family, such as "a ResNet"; None for an unknown one.
    """
    for pattern, family, beginnings in _FAMILIES:
        search = re.compile(rf"(^|\.){pattern}").search
        if any(search(name) for name in state):
            member = next((n for n in _members(beginnings) if _has_tensors(n, state)), None)
            return f"torchvision's {member}" if member else family
    return None


def _members(beginnings: tuple[str, ...]) -> list[str]:
    import torchvision  # takes a second to import

    names = torchvision.models.list_models(module=torchvision.models)
    return [n for n in names if beginnings and n.startswith(beginnings)]


def _has_tensors(name: str, state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has a network's tensors, with their shapes but for the last layer's."""
    import torchvision

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's, of how it will draw weights one day
        own = torchvision.models.get_model(name, weights=None).state_dict()
    probe = max(own, key=len)
    prefix = next((k.removesuffix(probe) for k in state if k.endswith(probe)), "")
    here, there = _shapes(state, prefix), _shapes(own, "")
    last = next(reversed(there)).split(".")[0]
    return here.keys() == there.keys() and all(
        here[k] == shape or k.split(".")[0] == last for k, shape in there.items()
    )


def _shapes(state: Mapping[str, Tensor], prefix: str) -> dict[str, tuple[int, ...]]:
    return {
        k.removeprefix(prefix): tuple(t.shape)
        for k, t in state.items()
        if k.startswith(prefix) and not k.endswith("num_batches_tracked")
    }
