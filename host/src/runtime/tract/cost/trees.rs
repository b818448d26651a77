//! Longest paths through the trees of an ensemble, which bound the nodes that a row visits.

use tract_onnx_opl::ml::tree::TreeEnsembleData;

/// Numbers per node: feature, the nodes for its two answers, value, flags. The lowest byte of the flags is 0 for a leaf.
const NODE: usize = 5;

/// The most nodes that one row visits, over all trees; the number of all nodes if the trees cannot be followed.
pub(super) fn steps(data: &TreeEnsembleData) -> u64 {
    let numbers = |tensor: &tract_onnx::prelude::Tensor| tensor.cast_to::<u32>().ok().map(|t| read(&t));
    let (Some(roots), Some(nodes)) = (numbers(&data.trees), numbers(&data.nodes)) else {
        return data.nodes.len() as u64;
    };
    let nodes: Vec<&[u32]> = nodes.chunks_exact(NODE).collect();
    let all = nodes.len() as u64;
    let mut depths = vec![None; nodes.len()];
    let depth_of = |root: &u32| depth(*root as usize, &nodes, &mut depths).unwrap_or(all);
    roots.iter().map(depth_of).fold(0, u64::saturating_add)
}

fn read(tensor: &tract_onnx::prelude::Tensor) -> Vec<u32> {
    tensor.as_bytes().as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
}

/// The number of nodes on the longest path from a node; `None` for a cycle. It is computed without recursion, because a
/// chain of nodes can be as long as the file.
fn depth(root: usize, nodes: &[&[u32]], depths: &mut [Option<u64>]) -> Option<u64> {
    let mut path = vec![root];
    while let Some(&at) = path.last() {
        if path.len() > nodes.len() {
            return None;
        }
        let node = nodes.get(at)?;
        let leaf = node[4] & 0xff == 0;
        let behind = if leaf { [at, at] } else { [node[1] as usize, node[2] as usize] };
        let waiting = behind.iter().find(|next| !leaf && depths.get(**next).is_some_and(Option::is_none));
        match waiting {
            Some(next) => path.push(*next),
            None => {
                let longest = behind.iter().filter_map(|next| depths.get(*next).copied().flatten()).max().unwrap_or(0);
                depths[at] = Some(longest + 1);
                path.pop();
            }
        }
    }
    depths.get(root).copied().flatten()
}
