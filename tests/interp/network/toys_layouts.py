"""Networks that compute maps with their channels last, and what is no map at all."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelsLast(nn.Module):
    """A block of ConvNeXt's kind on a map of 9 x 12 positions, with rectifiers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 12)
        self.act = nn.ReLU()
        self.down = nn.Linear(12, 8)
        self.last = nn.Conv2d(8, 6, 3, padding=1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.down(self.act(self.up(self.norm(x.permute(0, 2, 3, 1)))))
        x = self.last(x + y.permute(0, 3, 1, 2))
        return self.head(F.relu(x).mean((2, 3)))  # type: ignore[no-any-return]


class Squared(torch.autograd.Function):
    """A function whose making no mode sees."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        return x * x

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        return grad


class SquaredModule(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Squared.apply(x)  # type: ignore[no-any-return]


class Window(nn.Module):
    """Attention within shifted windows of 4 x 4 positions, of Swin's kind: (B, H, W, C) in and out,
    windows padded, taken apart and put together.
    """

    def __init__(self, channels: int, heads: int = 2, shift: int = 2) -> None:
        super().__init__()
        self.heads, self.shift = heads, shift
        self.qkv, self.proj = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.k_norm, self.soft = nn.LayerNorm(channels // heads), nn.Softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        x = F.pad(x, (0, 0, 0, -w % 4, 0, -h % 4))
        x = x.roll((-self.shift, -self.shift), (1, 2))
        rows, columns = x.shape[1] // 4, x.shape[2] // 4
        x = x.view(b, rows, 4, columns, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        q, k, v = self.qkv(x).reshape(len(x), 16, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = self.soft(q @ self.k_norm(k).transpose(-2, -1))
        x = self.proj((weights @ v).transpose(1, 2).reshape(len(x), 16, c))
        x = x.view(b, rows, columns, 4, 4, c).permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(b, 4 * rows, 4 * columns, c).roll((self.shift, self.shift), (1, 2))
        return x[:, :h, :w].contiguous()


class Merge(nn.Module):
    """Swin's patch merging: four neighbours become one position of twice the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        quarters = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return self.reduction(self.norm(torch.cat(quarters, -1)))  # type: ignore[no-any-return]


class SwinLike(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 2, stride=2)
        self.norm = nn.LayerNorm(8)
        self.window, self.merge, self.second = Window(8), Merge(8), Window(16, shift=1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x).permute(0, 2, 3, 1))
        x = self.merge(x + self.window(x))
        return self.head((x + self.second(x)).mean((1, 2)))  # type: ignore[no-any-return]


class Odd(nn.Module):
    """Transposed maps, weights without modules, assignments, and functions that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.turned, self.squared, self.by_weights = nn.Identity(), SquaredModule(), nn.Identity()
        self.by_letters, self.assigned, self.shuffled = nn.Identity(), nn.Identity(), nn.Identity()
        self.weights = nn.Parameter(torch.randn(8, 6))
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        b, c, h, w = x.shape
        x = self.shuffled(x.view(b, 2, 4, h, w).transpose(1, 2).reshape(b, c, h, w))
        x = self.squared(self.turned(x.permute(0, 3, 2, 1)))  # (B, W, H, C)
        y = self.by_weights(x @ self.weights)
        y = y + self.by_letters(torch.einsum("bwhc,cd->bwhd", x, self.weights))
        z = torch.zeros(b, h, w, 6)
        z[:, :, ::2] = y.transpose(1, 2)[:, :, ::2]
        return self.head(self.assigned(z).mean((1, 2)))  # type: ignore[no-any-return]


class Tokens(nn.Module):
    """A small vision transformer with a class token and attention by hand."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.first = nn.Parameter(torch.randn(1, 1, 8))
        self.norm = nn.LayerNorm(8)
        self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
        self.k_norm, self.soft = nn.LayerNorm(4), nn.Softmax(-1)
        self.grid = nn.Identity()
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        b, c, h, w = x.shape
        x = torch.cat([self.first.expand(b, -1, -1), x.flatten(2).transpose(1, 2)], 1)
        y = self.norm(x)
        q, k, v = (m(y).view(b, -1, 2, 4).transpose(1, 2) for m in (self.q, self.k, self.v))
        weights = self.soft(q @ self.k_norm(k).transpose(-2, -1))
        x = x + (weights @ v).transpose(1, 2).flatten(2)
        self.grid(x[:, 1:].transpose(1, 2).reshape(b, c, h, w))
        return self.head(x[:, 0])  # type: ignore[no-any-return]
