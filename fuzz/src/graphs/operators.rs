//! The operators of random graphs, as a table: each function adds one operator that takes a value.

use super::builder::{BOOL, Builder, F16, F32, I32, I64, SIZES, U8, Value, graph, int, ints, string};
use super::images;

type Make = fn(&mut Builder, &Value);

/// Some families are listed twice, so that they are as frequent as their operators deserve.
const TABLE: [Make; 38] = [
    unary,
    unary,
    binary,
    binary,
    binary_with_weight,
    product,
    product,
    product_of_two,
    cast,
    reduce,
    reduce,
    along_axis,
    arg,
    transpose,
    reshape,
    squeeze,
    concat,
    slice,
    pad,
    tile,
    expand,
    gather,
    gather_elements,
    top_k,
    cumulate,
    select,
    layer_norm,
    quantize,
    recurrent,
    scan,
    scan,
    branch,
    images::convolution,
    images::convolution,
    images::transposed_convolution,
    images::pool,
    images::normalization,
    images::resize,
];

const UNARY: [&str; 35] = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Ceil",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "HardSigmoid",
    "LeakyRelu",
    "Log",
    "Neg",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "HardSwish",
    "Identity",
    "Trilu",
];

/// Adds an operator that takes a value of the graph: often the last one.
pub(super) fn any(builder: &mut Builder) {
    let at = match builder.bytes.one_in(3) {
        true => builder.bytes.below(builder.values.len()),
        false => builder.values.len() - 1,
    };
    let mut value = builder.values[at].clone();
    // Most operators take FP32 and at least one axis.
    if value.element != F32 && !builder.bytes.one_in(5) {
        value = builder.emit("Cast", &[&value.name], vec![int("to", F32.into())], F32, &value.shape);
    }
    if value.rank() == 0 {
        return unary(builder, &value);
    }
    let make = builder.bytes.pick(&TABLE);
    make(builder, &value);
}

fn unary(b: &mut Builder, x: &Value) {
    let operator = b.bytes.pick(&UNARY);
    b.emit(operator, &[&x.name], vec![], x.element, &x.shape);
}

fn binary(b: &mut Builder, x: &Value) {
    let operator = b.bytes.pick(&["Add", "Mul", "Sub", "Div", "Pow", "Min", "Max", "Less", "Equal", "PRelu"]);
    let alike: Vec<Value> = b.values.iter().filter(|other| other.element == x.element).cloned().collect();
    let other = alike[b.bytes.below(alike.len())].clone();
    let element = if matches!(operator, "Less" | "Equal") { BOOL } else { x.element };
    let wider = if other.rank() > x.rank() { &other.shape } else { &x.shape };
    b.emit(operator, &[&x.name, &other.name], vec![], element, wider);
}

fn binary_with_weight(b: &mut Builder, x: &Value) {
    let operator = b.bytes.pick(&["Add", "Mul", "Div", "Pow", "Max"]);
    let axis = b.bytes.below(x.rank());
    let mut shape: Vec<i64> = vec![1; x.rank()];
    if b.bytes.one_in(2) && !shape.is_empty() {
        shape[axis] = x.size(axis);
    }
    let weight = b.weight(&shape);
    b.emit(operator, &[&x.name, &weight], vec![], x.element, &x.shape);
}

fn product(b: &mut Builder, x: &Value) {
    let columns = b.bytes.pick(&SIZES);
    let mut shape = x.shape.clone();
    let Some(last) = shape.last_mut() else { return unary(b, x) };
    *last = columns;
    let weight = b.weight(&[x.size(x.rank() - 1), columns]);
    b.emit("MatMul", &[&x.name, &weight], vec![], x.element, &shape);
}

/// A value times its own transposition, whose cost grows with the square of a size that may vary.
fn product_of_two(b: &mut Builder, x: &Value) {
    let rank = x.rank();
    if rank < 2 {
        return product(b, x);
    }
    let mut order: Vec<i64> = (0..).take(rank).collect();
    order.swap(rank - 1, rank - 2);
    let mut shape = x.shape.clone();
    shape.swap(rank - 1, rank - 2);
    let turned = b.emit("Transpose", &[&x.name], vec![ints("perm", &order)], x.element, &shape);
    shape[rank - 2] = x.shape[rank - 2];
    b.emit("MatMul", &[&x.name, &turned.name], vec![], x.element, &shape);
}

fn cast(b: &mut Builder, x: &Value) {
    let to = b.bytes.pick(&[F32, F16, I64, I32, U8, BOOL]);
    b.emit("Cast", &[&x.name], vec![int("to", to.into())], to, &x.shape);
}

/// An axis of the value, counted from the front or from the back.
fn axis(b: &mut Builder, x: &Value) -> (usize, i64) {
    let at = b.bytes.below(x.rank());
    let signed = |at: usize| i64::try_from(at).unwrap_or(0);
    (at, if b.bytes.one_in(2) { signed(at) - signed(x.rank()) } else { signed(at) })
}

fn reduce(b: &mut Builder, x: &Value) {
    let (at, axis) = axis(b, x);
    let keep = b.bytes.one_in(2);
    let mut shape = x.shape.clone();
    if keep && at < shape.len() {
        shape[at] = 1;
    } else if at < shape.len() {
        shape.remove(at);
    }
    let keep = int("keepdims", keep.into());
    let operator = b.bytes.pick(&["ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceL2", "ReduceProd"]);
    if operator == "ReduceSum" {
        let axes = b.whole(&[axis]);
        b.emit(operator, &[&x.name, &axes], vec![keep], x.element, &shape);
    } else {
        b.emit(operator, &[&x.name], vec![keep, ints("axes", &[axis])], x.element, &shape);
    }
}

fn along_axis(b: &mut Builder, x: &Value) {
    let operator = b.bytes.pick(&["Softmax", "LogSoftmax", "Hardmax", "LpNormalization"]);
    let (_, axis) = axis(b, x);
    b.emit(operator, &[&x.name], vec![int("axis", axis)], x.element, &x.shape);
}

fn arg(b: &mut Builder, x: &Value) {
    let (at, axis) = axis(b, x);
    let mut shape = x.shape.clone();
    shape.iter_mut().skip(at).take(1).for_each(|size| *size = 1);
    let operator = b.bytes.pick(&["ArgMax", "ArgMin"]);
    b.emit(operator, &[&x.name], vec![int("axis", axis)], I64, &shape);
}

fn transpose(b: &mut Builder, x: &Value) {
    let mut order: Vec<usize> = (0..x.rank()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, b.bytes.below(at + 1));
    }
    let shape: Vec<i64> = order.iter().map(|at| x.shape[*at]).collect();
    let order: Vec<i64> = order.iter().filter_map(|at| i64::try_from(*at).ok()).collect();
    b.emit("Transpose", &[&x.name], vec![ints("perm", &order)], x.element, &shape);
}

fn reshape(b: &mut Builder, x: &Value) {
    let to: &[i64] = b.bytes.pick(&[&[-1], &[0, -1], &[-1, 4], &[1, -1, 1], &[2, -1]]);
    let known = to.iter().enumerate().map(|(at, size)| if *size == 0 { x.size(at) } else { *size });
    let shape: Vec<i64> = known.collect();
    let to = b.whole(to);
    b.emit("Reshape", &[&x.name, &to], vec![], x.element, &shape);
}

fn squeeze(b: &mut Builder, x: &Value) {
    let (at, axis) = axis(b, x);
    let mut shape = x.shape.clone();
    let axes = b.whole(&[axis.max(0)]);
    if shape.get(at) == Some(&1) {
        shape.remove(at);
        b.emit("Squeeze", &[&x.name, &axes], vec![], x.element, &shape);
    } else {
        shape.insert(at.min(usize::try_from(axis.max(0)).unwrap_or(0)), 1);
        b.emit("Unsqueeze", &[&x.name, &axes], vec![], x.element, &shape);
    }
}

fn concat(b: &mut Builder, x: &Value) {
    let (at, axis) = axis(b, x);
    let copies = 2 + b.bytes.below(3);
    let mut shape = x.shape.clone();
    let times = i64::try_from(copies).unwrap_or(2);
    shape.iter_mut().skip(at).take(1).filter(|size| **size > 0).for_each(|size| *size *= times);
    b.emit("Concat", &vec![&*x.name; copies], vec![int("axis", axis)], x.element, &shape);
}

fn slice(b: &mut Builder, x: &Value) {
    let (_, axis) = axis(b, x);
    let parts = [b.bytes.pick(&[0, 1, -2]), b.bytes.pick(&[i64::MAX, 3, -1]), axis, b.bytes.pick(&[1, 2, 3])];
    let names = parts.map(|part| b.whole(&[part]));
    let mut inputs = vec![&*x.name];
    inputs.extend(names.iter().map(String::as_str));
    let shape = vec![-1; x.rank()];
    b.emit("Slice", &inputs, vec![], x.element, &shape);
}

fn pad(b: &mut Builder, x: &Value) {
    let sides: Vec<i64> = (0..2 * x.rank()).map(|_| b.bytes.pick(&[0, 0, 1, 2, 50])).collect();
    let (before, after) = sides.split_at(x.rank());
    let grown = x.shape.iter().zip(before.iter().zip(after));
    let shape: Vec<i64> = grown.map(|(size, (a, b))| if *size < 0 { -1 } else { size + a + b }).collect();
    let mode = b.bytes.pick(&["constant", "reflect", "edge"]);
    let sides = b.whole(&sides);
    b.emit("Pad", &[&x.name, &sides], vec![string("mode", mode)], x.element, &shape);
}

fn tile(b: &mut Builder, x: &Value) {
    let times: Vec<i64> = (0..x.rank()).map(|_| b.bytes.pick(&[1, 1, 2, 30])).collect();
    let grown = x.shape.iter().zip(&times);
    let shape: Vec<i64> = grown.map(|(size, times)| if *size < 0 { -1 } else { size * times }).collect();
    let times = b.whole(&times);
    b.emit("Tile", &[&x.name, &times], vec![], x.element, &shape);
}

fn expand(b: &mut Builder, x: &Value) {
    let mut shape: Vec<i64> = (0..x.rank()).map(|at| x.size(at)).collect();
    shape.insert(0, b.bytes.pick(&[1, 2, 100, 1000]));
    let to = b.whole(&shape);
    b.emit("Expand", &[&x.name, &to], vec![], x.element, &shape);
}

fn gather(b: &mut Builder, x: &Value) {
    let (at, axis) = axis(b, x);
    let count = b.bytes.pick(&[1usize, 2, 5, 1000]);
    let indices: Vec<i64> = (0..count).map(|_| b.bytes.pick(&[0, 1, 0, -1])).collect();
    let mut shape = x.shape.clone();
    shape.iter_mut().skip(at).take(1).for_each(|size| *size = i64::try_from(count).unwrap_or(1));
    let indices = b.whole(&indices);
    b.emit("Gather", &[&x.name, &indices], vec![int("axis", axis)], x.element, &shape);
}

/// Looks up, or scatters, by indices that are computed from the data.
fn gather_elements(b: &mut Builder, x: &Value) {
    let (_, axis) = axis(b, x);
    let indices = b.emit("Cast", &[&x.name], vec![int("to", I64.into())], I64, &x.shape);
    let axis = vec![int("axis", axis)];
    if b.bytes.one_in(2) {
        b.emit("GatherElements", &[&x.name, &indices.name], axis, x.element, &x.shape);
    } else {
        b.emit("ScatterElements", &[&x.name, &indices.name, &x.name], axis, x.element, &x.shape);
    }
}

fn top_k(b: &mut Builder, x: &Value) {
    let (at, axis) = axis(b, x);
    let count = b.bytes.pick(&[1, 2, 4]);
    let mut shape = x.shape.clone();
    shape.iter_mut().skip(at).take(1).for_each(|size| *size = count);
    let count = b.whole(&[count]);
    let (values, indices) = (b.name(), b.name());
    b.node("TopK", &[&x.name, &count], &[&values, &indices], vec![int("axis", axis)]);
    b.values.push(Value { name: values, element: x.element, shape });
}

fn cumulate(b: &mut Builder, x: &Value) {
    let (_, axis) = axis(b, x);
    let axis = b.scalar(axis);
    b.emit("CumSum", &[&x.name, &axis], vec![], x.element, &x.shape);
}

fn select(b: &mut Builder, x: &Value) {
    let condition = b.emit("Cast", &[&x.name], vec![int("to", BOOL.into())], BOOL, &x.shape);
    b.emit("Where", &[&condition.name, &x.name, &x.name], vec![], x.element, &x.shape);
}

fn layer_norm(b: &mut Builder, x: &Value) {
    let size = x.size(x.rank().saturating_sub(1));
    let (scale, bias) = (b.weight(&[size]), b.weight(&[size]));
    b.emit("LayerNormalization", &[&x.name, &scale, &bias], vec![], x.element, &x.shape);
}

fn quantize(b: &mut Builder, x: &Value) {
    let (y, scale, zero) = (b.name(), b.name(), b.name());
    b.node("DynamicQuantizeLinear", &[&x.name], &[&y, &scale, &zero], vec![]);
    b.values.push(Value { name: y, element: U8, shape: x.shape.clone() });
}

fn recurrent(b: &mut Builder, x: &Value) {
    if x.rank() != 3 {
        return product(b, x);
    }
    let (operator, gates) = b.bytes.pick(&[("LSTM", 4), ("GRU", 3), ("RNN", 1)]);
    let (hidden, input) = (b.bytes.pick(&[1, 4, 16, 64]), x.size(2));
    let (w, r) = (b.weight(&[1, gates * hidden, input]), b.weight(&[1, gates * hidden, hidden]));
    let shape = [x.shape.first().copied().unwrap_or(-1), 1, x.shape.get(1).copied().unwrap_or(-1), hidden];
    b.emit(operator, &[&x.name, &w, &r], vec![int("hidden_size", hidden)], x.element, &shape);
}

/// A scan over the first axis: its body has a state, and operators of this table on each row.
fn scan(b: &mut Builder, x: &Value) {
    let side = b.bytes.pick(&[1, 4, 16, 100]);
    let first = b.weight(&[side, side]);
    let row = Value { name: b.name(), element: x.element, shape: x.shape.iter().skip(1).copied().collect() };
    let state = Value { name: b.name(), element: F32, shape: vec![side, side] };
    let mut body = b.body(vec![row.clone()]);
    let operators = 1 + body.bytes.below(2);
    (0..operators).for_each(|_| any(&mut body));
    let made = body.values.last().cloned().unwrap_or_else(|| row.clone());
    let next = match body.bytes.below(3) {
        0 => body.emit("Tanh", &[&state.name], vec![], F32, &state.shape),
        1 => body.emit("Identity", &[&state.name], vec![], F32, &state.shape),
        _ => body.emit("MatMul", &[&state.name, &state.name], vec![], F32, &state.shape),
    };
    let body = body.finish(&[state, row], &[next, made.clone()]);
    let mut shape = vec![x.shape.first().copied().unwrap_or(-1)];
    shape.extend(&made.shape);
    let (last, all) = (b.name(), b.name());
    b.node("Scan", &[&first, &x.name], &[&last, &all], vec![graph("body", body), int("num_scan_inputs", 1)]);
    b.values.push(Value { name: all, element: made.element, shape });
}

/// Two branches that compute on the same value.
fn branch(b: &mut Builder, x: &Value) {
    let sum = b.emit("ReduceSum", &[&x.name], vec![int("keepdims", 0)], x.element, &[]);
    let zero = b.emit("Mul", &[&sum.name, &sum.name], vec![], x.element, &[]);
    let condition = b.emit("Less", &[&zero.name, &sum.name], vec![], BOOL, &[]);
    let (then, made) = branch_body(b, x);
    let (otherwise, _) = branch_body(b, x);
    let attributes = vec![graph("then_branch", then), graph("else_branch", otherwise)];
    b.emit("If", &[&condition.name], attributes, made.element, &made.shape);
}

fn branch_body(b: &mut Builder, x: &Value) -> (tract_onnx::pb::GraphProto, Value) {
    let mut body = b.body(vec![x.clone()]);
    // Branches whose shapes differ are refused, so most of them keep the shape.
    match body.bytes.below(5) {
        0 => any(&mut body),
        1 => along_axis(&mut body, x),
        2 => binary_with_weight(&mut body, x),
        _ => unary(&mut body, x),
    }
    let made = body.values.last().cloned().unwrap_or_else(|| x.clone());
    (body.finish(&[], std::slice::from_ref(&made)), made)
}
