"""Writes tflite_*.onnx: networks of the shapes of MLPerf Tiny, made small, quantised to int8 by TensorFlow's TFLite
converter, and made .onnx by tf2onnx. `codes`: inputs and outputs are int8 as well.

    pip install tensorflow-cpu tf2onnx && python tests/quantised/by_tflite.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from kept import keep

K = tf.keras
L = K.layers


def normed(x: tf.Tensor, layer: L.Layer) -> tf.Tensor:
    return L.ReLU()(L.BatchNormalization()(layer(x)))


def keywords() -> K.Model:
    """DS-CNN: a convolution, depthwise-separable blocks, a mean."""
    x = given = L.Input((12, 10, 1))
    x = normed(x, L.Conv2D(8, (10, 4), strides=2, padding="same", use_bias=False))
    for _ in range(2):
        x = normed(x, L.DepthwiseConv2D(3, padding="same", use_bias=False))
        x = normed(x, L.Conv2D(8, 1, use_bias=False))
    x = L.Flatten()(L.AveragePooling2D((6, 5))(x))
    return K.Model(given, L.Dense(12, activation="softmax")(x))


def anomaly() -> K.Model:
    """An autoencoder."""
    x = given = L.Input((24,))
    for width in (16, 4, 16):
        x = normed(x, L.Dense(width))
    return K.Model(given, L.Dense(24)(x))


def images() -> K.Model:
    """ResNet: two residual blocks, a mean."""
    x = given = L.Input((8, 8, 3))
    x = h = normed(x, L.Conv2D(4, 3, padding="same"))
    for width, stride in ((4, 1), (8, 2)):
        y = L.Conv2D(width, 3, strides=stride, padding="same", activation="relu")(x)
        y = L.Conv2D(width, 3, padding="same")(y)
        h = L.Conv2D(width, 1, strides=stride, padding="same")(x) if stride > 1 else x
        x = L.ReLU()(L.Add()([y, h]))
    x = L.Flatten()(L.AveragePooling2D(4)(x))
    return K.Model(given, L.Dense(10, activation="softmax")(x))


def main() -> None:
    rng = np.random.default_rng(0)
    tf.random.set_seed(0)
    for name, made in {"keywords": keywords, "anomaly": anomaly, "images": images}.items():
        net = made()
        for layer in net.layers:
            if isinstance(layer, L.BatchNormalization):
                size = layer.gamma.shape
                layer.set_weights([rng.uniform(0.5, 1.5, size), rng.normal(0, 0.2, size), rng.normal(0, 0.1, size),
                                   rng.uniform(0.3, 1, size)])
        shape = net.input_shape[1:]

        def samples(shape: tuple[int, ...] = shape) -> Iterator[list[np.ndarray]]:
            for _ in range(64):
                yield [rng.uniform(-1, 1, (1, *shape)).astype(np.float32)]

        converter = tf.lite.TFLiteConverter.from_keras_model(net)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        for ending in ("_codes",) if name == "keywords" else ("",):
            if ending:
                converter.inference_input_type = converter.inference_output_type = tf.int8
            with tempfile.TemporaryDirectory() as folder:
                held = Path(folder) / "net.tflite"
                held.write_bytes(converter.convert())
                subprocess.run([sys.executable, "-m", "tf2onnx.convert", "--tflite", held, "--output",
                                held.with_suffix(".onnx"), "--opset", "13"], check=True, capture_output=True)
                keep(held.with_suffix(".onnx"), f"tflite_{name}{ending}", "tensorflow_cpu", "tf2onnx")


if __name__ == "__main__":
    main()
