//! Operators on images: tensors of a batch, channels, and one to three axes of space.

use super::builder::{Builder, SIZES, Value, int, ints, string};

/// A value that has axes of space: the given one, or one that is reshaped to four axes.
fn image(b: &mut Builder, x: &Value) -> Value {
    if x.rank() >= 3 {
        return x.clone();
    }
    let channels = b.bytes.pick(&[1, 2, 4]);
    let to = b.whole(&[1, channels, -1, 2]);
    b.emit("Reshape", &[&x.name, &to], vec![], x.element, &[1, channels, -1, 2])
}

/// The attributes of a window: the same random size, padding, stride and dilation for each axis.
fn window(b: &mut Builder, space: usize, size: i64, dilated: bool) -> Vec<tract_onnx::pb::AttributeProto> {
    let (pad, stride) = (b.bytes.pick(&[0, 0, 1, 3]), b.bytes.pick(&[1, 1, 2, 5]));
    let mut attributes = vec![
        ints("kernel_shape", &vec![size; space]),
        ints("pads", &vec![pad.min(size - 1); 2 * space]),
        ints("strides", &vec![stride; space]),
    ];
    if dilated {
        let dilation = b.bytes.pick(&[1, 1, 2]);
        attributes.push(ints("dilations", &vec![dilation; space]));
    }
    attributes
}

fn after_window(x: &Value, channels: i64) -> Vec<i64> {
    let mut shape = vec![x.shape[0], channels];
    shape.resize(x.rank(), -1);
    shape
}

pub(super) fn convolution(b: &mut Builder, x: &Value) {
    let x = image(b, x);
    let space = x.rank() - 2;
    let channels = x.size(1);
    let (groups, made) = match b.bytes.below(3) {
        0 => (channels, channels),
        1 if channels % 2 == 0 => (2, channels),
        _ => (1, b.bytes.pick(&SIZES)),
    };
    let size = b.bytes.pick(&[1, 2, 3, 5, 15]);
    let mut shape = vec![made, channels / groups];
    shape.resize(x.rank(), size);
    let weight = b.weight(&shape);
    let mut attributes = window(b, space, size, true);
    attributes.push(int("group", groups));
    b.emit("Conv", &[&x.name, &weight], attributes, x.element, &after_window(&x, made));
}

pub(super) fn transposed_convolution(b: &mut Builder, x: &Value) {
    let x = image(b, x);
    let (made, size) = (b.bytes.pick(&[1, 2, 8]), b.bytes.pick(&[1, 2, 3, 9]));
    let mut shape = vec![x.size(1), made];
    shape.resize(x.rank(), size);
    let weight = b.weight(&shape);
    let attributes = window(b, x.rank() - 2, size, false);
    b.emit("ConvTranspose", &[&x.name, &weight], attributes, x.element, &after_window(&x, made));
}

pub(super) fn pool(b: &mut Builder, x: &Value) {
    let x = image(b, x);
    let operator = b.bytes.pick(&["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"]);
    let size = b.bytes.pick(&[1, 2, 3, 7, 50]);
    let attributes =
        if operator.starts_with("Global") { vec![] } else { window(b, x.rank() - 2, size, operator == "MaxPool") };
    b.emit(operator, &[&x.name], attributes, x.element, &after_window(&x, x.shape[1]));
}

pub(super) fn normalization(b: &mut Builder, x: &Value) {
    let x = image(b, x);
    if b.bytes.one_in(2) {
        let size = b.bytes.pick(&[1, 3, 5, 101, 2001]);
        b.emit("LRN", &[&x.name], vec![int("size", size)], x.element, &x.shape);
    } else {
        let (scale, bias) = (b.weight(&[x.size(1)]), b.weight(&[x.size(1)]));
        b.emit("InstanceNormalization", &[&x.name, &scale, &bias], vec![], x.element, &x.shape);
    }
}

pub(super) fn resize(b: &mut Builder, x: &Value) {
    let scales: Vec<f32> = (0..x.rank()).map(|_| b.bytes.pick(&[1.0, 1.0, 2.0, 1.5, 0.5, 20.0])).collect();
    let mode = b.bytes.pick(&["nearest", "linear", "cubic"]);
    let scales = b.floats(&scales);
    b.emit("Resize", &[&x.name, "", &scales], vec![string("mode", mode)], x.element, &vec![-1; x.rank()]);
}
