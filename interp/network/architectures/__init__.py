"""The architectures that torchvision lacks."""

from interp.network.architectures.cifar_resnet import CifarResNet
from interp.network.architectures.cifar_twin import CifarTwin
from interp.network.architectures.lenet import LeNet5
from interp.network.architectures.preact_resnet import PreActResNet18
from interp.network.architectures.small_image_resnet import SmallImageResNet
from interp.network.architectures.wide_resnet import SamePaddingWideResNet, WideResNet

__all__ = [
    "CifarResNet",
    "CifarTwin",
    "LeNet5",
    "PreActResNet18",
    "SamePaddingWideResNet",
    "SmallImageResNet",
    "WideResNet",
]
