//! LSTM, GRU and RNN. tract runs them forwards or in both directions; the reverse direction is the forward one over the
//! reversed sequence. What else it ignores is refused by the rules.

use tract_onnx::pb::NodeProto;

use super::attributes::Attributes;
use super::build::{Builder, int, text};

pub(super) fn rewritten(node: &NodeProto) -> Option<Builder> {
    let reverse = node.text("direction").is_some_and(|direction| direction.eq_ignore_ascii_case("reverse"));
    let states: &[usize] = if node.op_type == "LSTM" { &[5, 6] } else { &[5] };
    let lacks_state = states.iter().any(|input| missing(node, *input));
    let cell = node.op_type == "LSTM";
    if !reverse && !lacks_state && !cell {
        return None;
    }
    let mut build = Builder::at(node.output.iter().find(|output| !output.is_empty())?);
    let mut forward = node.clone();
    if lacks_state {
        give_states(&mut build, &mut forward, states);
    }
    if cell {
        forward.input[6] = build.add("CellState", &[&forward.input[6]], vec![]);
    }
    if reverse {
        forward.attribute.retain(|attribute| attribute.name != "direction");
        forward.attribute.push(text("direction", "forward"));
        let axis = node.int("layout").unwrap_or(0);
        forward.input[0] = flipped(&mut build, &node.input[0], axis);
        if let Some(sequence) = forward.output.first_mut().filter(|name| !name.is_empty()) {
            let wanted = std::mem::replace(sequence, format!("{}/bulkhead/reversed", node.output[0]));
            let reversed = sequence.clone();
            build.nodes.push(forward);
            // The output of layout 1 begins with the batch.
            build.add_as("ReverseAxis", &[&reversed], &[&wanted], vec![int("axis", axis)]);
            return Some(build);
        }
    }
    build.nodes.push(forward);
    Some(build)
}

fn missing(node: &NodeProto, input: usize) -> bool {
    node.input.get(input).is_none_or(String::is_empty)
}

fn flipped(build: &mut Builder, x: &str, axis: i64) -> String {
    build.add("ReverseAxis", &[x], vec![int("axis", axis)])
}

/// Initial states of zeros. tract makes them for one row, whatever the batch.
fn give_states(build: &mut Builder, node: &mut NodeProto, states: &[usize]) {
    let layout = node.int("layout").unwrap_or(0);
    while node.input.len() <= states.iter().copied().max().unwrap_or(0) {
        node.input.push(String::new());
    }
    for input in states {
        if node.input[*input].is_empty() {
            let given: [&str; 2] = [&node.input[0], &node.input[2]];
            node.input[*input] = build.add("ZeroState", &given, vec![int("layout", layout)]);
        }
    }
}
