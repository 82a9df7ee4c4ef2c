"""The peer of `cargo xtask bench train`: what a Python programmer would write for the same training.

PyTorch, torchvision's transforms and pytorch-metric-learning, configured by a job file (JSON), from which Flukewatch's trainer is configured too.
Photos are decoded once and kept as uint8, as in Flukewatch. Prints one JSON object.

    python peer.py JOB.json --workers 0 --threads 2 [--channels-last]
"""

import argparse
import csv
import json
import math
import os
import platform
import time

import numpy
import pytorch_metric_learning
import torch
import torchvision
from PIL import Image
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode, v2


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: at stride 2 on an even size the odd row and column go last."""

    def forward(self, x):
        (top, bottom), (left, right) = (
            self.around(size, kernel, stride)
            for size, kernel, stride in zip(x.shape[2:], self.kernel_size, self.stride)
        )
        if top == bottom and left == right:
            return functional.conv2d(x, self.weight, None, self.stride, (top, left), 1, self.groups)
        x = functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(x, self.weight, None, self.stride, 0, 1, self.groups)

    @staticmethod
    def around(size, kernel, stride):
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2


def conv(inputs, outputs, kernel=1, stride=1, groups=1):
    return SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)


def norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """An inverted residual block: expand, depthwise, project."""

    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        wide = inputs * expansion
        self.expands = expansion != 1
        self.skips = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = conv(inputs, wide), norm(wide)
        self._depthwise_conv, self._bn1 = conv(wide, wide, kernel, stride, wide), norm(wide)
        self._project_conv, self._bn2 = conv(wide, outputs), norm(outputs)
        self._relu6 = nn.ReLU6(inplace=True)

    def forward(self, x):
        start = x
        if self.expands:
            x = self._relu6(self._bn0(self._expand_conv(x)))
        x = self._relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return x + start if self.skips else x


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 on grey images, up to its 1280 feature maps."""

    # (repeats, kernel, stride, expansion, channels out)
    STAGES = [
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    ]

    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = conv(1, 32, 3, 2), norm(32)
        self._blocks = nn.ModuleList()
        width = 32
        for repeats, kernel, stride, expansion, outputs in self.STAGES:
            for repeat in range(repeats):
                self._blocks.append(Block(width, outputs, kernel, stride if repeat == 0 else 1, expansion))
                width = outputs
        self._conv_head, self._bn1 = conv(width, 1280), norm(1280)
        self._relu6 = nn.ReLU6(inplace=True)

    def forward(self, x):
        x = self._relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return self._relu6(self._bn1(self._conv_head(x)))


class Embedder(nn.Module):
    """Backbone, average pooling, normalisation, dropout, linear, L2. The stem and the first blocks are frozen."""

    def __init__(self, frozen_blocks, dropout, dimension):
        super().__init__()
        self.backbone = EfficientNetLite0()
        self.head = nn.Sequential(nn.BatchNorm1d(1280), nn.Dropout(dropout), nn.Linear(1280, dimension))
        backbone = self.backbone
        self.frozen = [backbone._conv_stem, backbone._bn0, *backbone._blocks[:frozen_blocks]]
        for module in self.frozen:
            module.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def forward(self, x):
        return functional.normalize(self.head(self.backbone(x).mean((2, 3))))


class Noise(nn.Module):
    """Noise with a random strength for each picture."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def forward(self, x):
        return x + torch.randn_like(x) * (self.most * torch.rand(1).item())


def variation(a):
    """The augmentation of the job; grey levels from 0 to 1, so that transforms work on floats without conversions."""
    transforms = [v2.ToDtype(torch.float32, scale=True)]
    bilinear = InterpolationMode.BILINEAR
    transforms.append(
        v2.RandomAffine(
            a["rotation"],
            translate=(a["shift"], a["shift"]),
            scale=(1 - a["scale"], 1 + a["scale"]),
            shear=math.degrees(math.atan(a["shear"])),
            interpolation=bilinear,
        )
    )
    transforms.append(v2.RandomPerspective(a["perspective"], p=1.0, interpolation=bilinear))
    transforms.append(v2.ColorJitter(brightness=a["contrast"] / 2, contrast=a["contrast"]))
    transforms.append(v2.RandomApply([v2.GaussianBlur(3)], p=a["blur"]))
    transforms.append(Noise(a["noise"] / 255))
    transforms.append(v2.RandomErasing(a["erasing"], scale=(0.02, 0.12), ratio=(0.4, 2.5)))
    transforms.append(v2.Normalize([127 / 255], [128 / 255]))
    return v2.Compose(transforms)


class Flukes(Dataset):
    """Crops of flukes, decoded once and kept as uint8. A mirrored fluke counts as another whale."""

    def __init__(self, job):
        self.vary = variation(job["augmentation"])
        with open(job["catalogue"], newline="") as table:
            rows = list(csv.DictReader(table))
        numbers = {whale: number for number, whale in enumerate(sorted({row["identity"] for row in rows}))}
        self.classes = 2 * len(numbers)
        self.whales = [numbers[row["identity"]] for row in rows]
        self.photos = torch.stack([self.crop(job, row) for row in rows])

    @staticmethod
    def crop(job, row):
        with Image.open(os.path.join(job["photos"], row["image"])) as photo:
            x0, y0, x1, y1 = (int(row[corner]) for corner in ("x0", "y0", "x1", "y1"))
            dx, dy = round((x1 - x0) * job["margin"]), round((y1 - y0) * job["margin"])
            box = (max(x0 - dx, 0), max(y0 - dy, 0), min(x1 + dx, photo.width), min(y1 + dy, photo.height))
            size = (job["width"], job["height"])
            grey = photo.convert("L").crop(box).resize(size, Image.Resampling.BILINEAR)
            return torch.from_numpy(numpy.array(grey))[None]

    def __len__(self):
        return len(self.whales)

    def __getitem__(self, at):
        photo = self.photos[at]
        mirrored = int(torch.randint(2, ()))
        if mirrored:
            photo = photo.flip(-1)
        return self.vary(photo), 2 * self.whales[at] + mirrored


def optimiser_of(job, model, loss):
    """AdamW with a learning rate per parameter group, decay on weights only, warm-up and cosine."""
    rates = job["optimiser"]
    groups = []
    for part, rate in [(model.backbone, "backbone_lr"), (model.head, "head_lr"), (loss, "loss_lr")]:
        trained = [p for p in part.parameters() if p.requires_grad]
        for decays in (True, False):
            chosen = [p for p in trained if (p.dim() > 1) == decays]
            if chosen:
                decay = rates["weight_decay"] if decays else 0.0
                groups.append({"params": chosen, "lr": rates[rate], "weight_decay": decay})
    return torch.optim.AdamW(groups, fused=True)


def factor(warm_up, step, steps):
    warm = max(warm_up * steps, 1.0)
    if step < warm:
        return (step + 1) / warm
    done = min((step - warm) / max(steps - warm, 1.0), 1.0)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("job")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--channels-last", action="store_true")
    args = parser.parse_args()
    with open(args.job) as file:
        job = json.load(file)
    torch.set_num_threads(args.threads)
    torch.manual_seed(job["seed"])

    flukes = Flukes(job)
    loader = DataLoader(
        flukes,
        job["batch"],
        shuffle=True,
        drop_last=True,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
    )
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    model = Embedder(job["frozen_blocks"], job["dropout"], job["dimension"]).to(memory_format=layout).train()
    loss_of = ArcFaceLoss(
        flukes.classes, job["dimension"], margin=math.degrees(job["arcface_margin"]), scale=job["arcface_scale"]
    )
    optimiser = optimiser_of(job, model, loss_of)
    steps = job["epochs"] * len(loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: factor(job["optimiser"]["warm_up_fraction"], step, steps)
    )

    epochs = []
    for _ in range(job["epochs"]):
        began = time.perf_counter()
        total, images = 0.0, 0
        for photos, classes in loader:
            loss = loss_of(model(photos.to(memory_format=layout)), classes)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
            images += len(classes)
        seconds = time.perf_counter() - began
        epochs.append({"images": images, "seconds": seconds, "loss": total / len(loader)})
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pytorch-metric-learning": pytorch_metric_learning.__version__,
    }
    print(json.dumps({"epochs": epochs, "versions": versions}))


if __name__ == "__main__":
    main()
