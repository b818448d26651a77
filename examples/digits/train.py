"""Train the handwritten-digit network that this example serves.

Run from this folder (about twenty seconds on one core, nothing is downloaded
beyond the packages; the pictures are the ones scikit-learn ships):

    python3 -m venv .venv
    .venv/bin/pip install -r requirements.txt
    .venv/bin/python train.py

It writes, next to this file:

    digits.onnx     the network: image [batch, 1, 8, 8] -> logits [batch, 10]
    labels.txt      the name of each of the ten logits
    held-out.png    all 360 held-out pictures, 20 columns x 18 rows of 8x8 tiles
    held-out.txt    their true labels, laid out as the tiles are
    held-out/       twenty of them, 64x64, as NN-is-D.png (NN: place in the grid,
                    row by row from 0; D: true label)
    accuracy.json   how many of the 360 onnxruntime gets right with digits.onnx,
                    from the picture alone ("plain") and from the average over it
                    and its four one-pixel shifts ("shifted")

Every seed is fixed, so on one machine two runs give the same bytes. Another
kind of processor may round differently in the matrix products, which moves the
last bits of the weights.
"""

import os

# The order of a threaded sum is not fixed. This has to precede the numpy import.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_threads] = "1"

import json
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = Path(__file__).resolve().parent
SEED = 2024
HELD_OUT = 360
GRID_ROWS, GRID_COLUMNS = 18, 20
SIDE = 8
WHITE = 16  # load_digits counts ink from 0 to 16
SAMPLES_PER_DIGIT = 2
SAMPLE_SCALE = 8

CHANNELS = (16, 32)
EPOCHS = 60
BATCH = 32
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
NOISE = 0.05

STAY_AND_SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))


# --- pictures ---------------------------------------------------------------


def load_split():
    """Returns train pictures, held-out pictures, train labels, held-out labels."""
    digits = load_digits()
    return train_test_split(
        digits.images, digits.target,
        test_size=HELD_OUT, stratify=digits.target, random_state=SEED,
    )


def to_gray(pictures):
    return np.round(pictures * 255 / WHITE).astype(np.uint8)


def shift(images, down, right):
    """Moves [..., height, width] images by up to one pixel, filling with zero."""
    height, width = images.shape[-2:]
    padded = np.pad(images, [(0, 0)] * (images.ndim - 2) + [(1, 1), (1, 1)])
    return padded[..., 1 - down:1 - down + height, 1 - right:1 - right + width]


def augment(images, rng):
    """Half of the images stay in place, the others move one pixel; all get noise."""
    moves = rng.choice(len(STAY_AND_SHIFTS), size=len(images), p=[0.5] + [0.125] * 4)
    moved = np.empty_like(images)
    for index, (down, right) in enumerate(STAY_AND_SHIFTS):
        moved[moves == index] = shift(images[moves == index], down, right)
    noise = rng.normal(0, NOISE, images.shape).astype(np.float32)
    return np.clip(moved + noise, 0, 1)


# --- network: conv, relu, conv, relu, max pool, flatten, gemm ---------------


def new_weights(rng):
    first, second = CHANNELS
    flat = second * (SIDE // 2) ** 2

    def he(shape, fan_in):
        return rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)

    return {
        "conv1.weight": he((first, 1, 3, 3), 9),
        "conv1.bias": np.zeros(first, np.float32),
        "conv2.weight": he((second, first, 3, 3), first * 9),
        "conv2.bias": np.zeros(second, np.float32),
        "gemm.weight": he((10, flat), flat),
        "gemm.bias": np.zeros(10, np.float32),
    }


def conv_forward(x, weight, bias):
    batch, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), axis=(2, 3))
    columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(batch * height * width, -1)
    y = columns @ weight.reshape(len(weight), -1).T + bias
    return y.reshape(batch, height, width, -1).transpose(0, 3, 1, 2), columns


def conv_backward(dy, columns, weight):
    batch, outputs, height, width = dy.shape
    flat = dy.transpose(0, 2, 3, 1).reshape(-1, outputs)
    dweight = (flat.T @ columns).reshape(weight.shape)
    dcolumns = (flat @ weight.reshape(outputs, -1)).reshape(
        batch, height, width, weight.shape[1], 3, 3)
    dpadded = np.zeros((batch, weight.shape[1], height + 2, width + 2), np.float32)
    for i in range(3):
        for j in range(3):
            dpadded[:, :, i:i + height, j:j + width] += (
                dcolumns[..., i, j].transpose(0, 3, 1, 2))
    return dpadded[:, :, 1:-1, 1:-1], dweight, flat.sum(axis=0)


def pool_forward(x):
    batch, channels, height, width = x.shape
    blocks = x.reshape(batch, channels, height // 2, 2, width // 2, 2)
    blocks = blocks.transpose(0, 1, 2, 4, 3, 5).reshape(
        batch, channels, height // 2, width // 2, 4)
    return blocks.max(axis=-1), blocks.argmax(axis=-1)


def pool_backward(dy, winners):
    batch, channels, height, width = dy.shape
    blocks = (winners[..., None] == np.arange(4)) * dy[..., None]
    blocks = blocks.reshape(batch, channels, height, width, 2, 2)
    return blocks.transpose(0, 1, 2, 4, 3, 5).reshape(
        batch, channels, height * 2, width * 2)


def softmax(logits):
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def forward(weights, x):
    """Returns the logits, and what the backward pass needs to remember."""
    conv1, columns1 = conv_forward(x, weights["conv1.weight"], weights["conv1.bias"])
    relu1 = np.maximum(conv1, 0)
    conv2, columns2 = conv_forward(relu1, weights["conv2.weight"], weights["conv2.bias"])
    relu2 = np.maximum(conv2, 0)
    pooled, winners = pool_forward(relu2)
    flat = pooled.reshape(len(x), -1)
    logits = flat @ weights["gemm.weight"].T + weights["gemm.bias"]
    return logits, (columns1, relu1, columns2, relu2, winners, pooled.shape, flat)


def backward(weights, memory, dlogits):
    columns1, relu1, columns2, relu2, winners, pooled_shape, flat = memory
    gradients = {"gemm.weight": dlogits.T @ flat, "gemm.bias": dlogits.sum(axis=0)}
    dpooled = (dlogits @ weights["gemm.weight"]).reshape(pooled_shape)
    dconv2 = pool_backward(dpooled, winners) * (relu2 > 0)
    drelu1, gradients["conv2.weight"], gradients["conv2.bias"] = conv_backward(
        dconv2, columns2, weights["conv2.weight"])
    dconv1 = drelu1 * (relu1 > 0)
    _, gradients["conv1.weight"], gradients["conv1.bias"] = conv_backward(
        dconv1, columns1, weights["conv1.weight"])
    return gradients


# --- training ---------------------------------------------------------------


class AdamW:
    def __init__(self, weights):
        self.weights = weights
        self.mean = {name: np.zeros_like(w) for name, w in weights.items()}
        self.square = {name: np.zeros_like(w) for name, w in weights.items()}
        self.steps = 0

    def step(self, gradients, rate):
        self.steps += 1
        for name, weight in self.weights.items():
            gradient = gradients[name]
            self.mean[name] += 0.1 * (gradient - self.mean[name])
            self.square[name] += 0.001 * (gradient ** 2 - self.square[name])
            mean = self.mean[name] / (1 - 0.9 ** self.steps)
            square = self.square[name] / (1 - 0.999 ** self.steps)
            decay = WEIGHT_DECAY * weight if weight.ndim > 1 else 0
            weight -= rate * (mean / (np.sqrt(square) + 1e-8) + decay)


def train(pictures, labels):
    rng = np.random.default_rng(SEED)
    images = (pictures / WHITE).astype(np.float32)[:, None]
    weights = new_weights(rng)
    optimizer = AdamW(weights)
    batches_per_epoch = -(-len(images) // BATCH)
    for epoch in range(EPOCHS):
        order = rng.permutation(len(images))
        total_loss = 0.0
        for batch in range(batches_per_epoch):
            chosen = order[batch * BATCH:(batch + 1) * BATCH]
            logits, memory = forward(weights, augment(images[chosen], rng))
            probabilities = softmax(logits)
            truth = np.eye(10, dtype=np.float32)[labels[chosen]]
            total_loss -= np.log((probabilities * truth).sum(axis=1) + 1e-9).sum()
            gradients = backward(weights, memory, (probabilities - truth) / len(chosen))
            progress = optimizer.steps / (EPOCHS * batches_per_epoch)
            optimizer.step(gradients, LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * progress)))
        if (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1}: training loss {total_loss / len(images):.4f}")
    return weights


# --- files ------------------------------------------------------------------


def write_onnx(weights, path):
    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "conv1.weight", "conv1.bias"], ["conv1"], **conv),
        helper.make_node("Relu", ["conv1"], ["relu1"]),
        helper.make_node("Conv", ["relu1", "conv2.weight", "conv2.bias"], ["conv2"], **conv),
        helper.make_node("Relu", ["conv2"], ["relu2"]),
        helper.make_node("MaxPool", ["relu2"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "gemm.weight", "gemm.bias"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    # IR version 8 is the one that came with opset 17; the helper's default is
    # whatever the installed onnx is newest at, which readers may not know yet.
    model = helper.make_model(
        graph, producer_name="digits/train.py",
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def write_held_out(pictures, labels):
    tiles = to_gray(pictures)
    grid = tiles.reshape(GRID_ROWS, GRID_COLUMNS, SIDE, SIDE)
    sprite = grid.transpose(0, 2, 1, 3).reshape(GRID_ROWS * SIDE, GRID_COLUMNS * SIDE)
    Image.fromarray(sprite).save(HERE / "held-out.png", optimize=True)
    rows = ["".join(map(str, row)) for row in labels.reshape(GRID_ROWS, GRID_COLUMNS)]
    (HERE / "held-out.txt").write_text("\n".join(rows) + "\n")
    write_samples(tiles, labels, HERE / "held-out")


def write_samples(tiles, labels, folder):
    folder.mkdir(exist_ok=True)
    for stale in folder.glob("*-is-*.png"):
        stale.unlink()
    for digit in range(10):
        # The first ones, whether or not the network gets them right.
        for index in np.flatnonzero(labels == digit)[:SAMPLES_PER_DIGIT]:
            large = tiles[index].repeat(SAMPLE_SCALE, axis=0).repeat(SAMPLE_SCALE, axis=1)
            Image.fromarray(large).save(folder / f"{index:02}-is-{digit}.png", optimize=True)


def read_held_out():
    sprite = np.asarray(Image.open(HERE / "held-out.png"))
    grid = sprite.reshape(GRID_ROWS, SIDE, GRID_COLUMNS, SIDE).transpose(0, 2, 1, 3)
    labels = (HERE / "held-out.txt").read_text().replace("\n", "")
    return grid.reshape(HELD_OUT, SIDE, SIDE), np.array([int(label) for label in labels])


def measure():
    """Judges the written files with another program than the one that trained."""
    tiles, labels = read_held_out()
    images = (tiles / np.float32(255)).astype(np.float32)[:, None]
    session = onnxruntime.InferenceSession(
        str(HERE / "digits.onnx"), providers=["CPUExecutionProvider"])
    views = [
        softmax(session.run(["logits"], {"image": shift(images, down, right)})[0])
        for down, right in STAY_AND_SHIFTS
    ]
    plain = int((views[0].argmax(axis=1) == labels).sum())
    shifted = int((np.mean(views, axis=0).argmax(axis=1) == labels).sum())
    return {
        "held_out": HELD_OUT,
        "plain": round(plain / HELD_OUT, 4),
        "shifted": round(shifted / HELD_OUT, 4),
        "plain_correct": plain,
        "shifted_correct": shifted,
    }


def main():
    train_pictures, held_pictures, train_labels, held_labels = load_split()
    started = time.perf_counter()
    weights = train(train_pictures, train_labels)
    print(f"trained in {time.perf_counter() - started:.1f} s")
    write_onnx(weights, HERE / "digits.onnx")
    write_held_out(held_pictures, held_labels)
    (HERE / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)))
    accuracy = measure()
    (HERE / "accuracy.json").write_text(json.dumps(accuracy, indent=2) + "\n")
    print(json.dumps(accuracy))


if __name__ == "__main__":
    main()
