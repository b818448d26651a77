//! The messages between the host and a runner about runs of graphs, as bytes. Each side bounds what it reads from the other:
//! no length, count or index of a message is believed before it was checked.

use std::time::Duration;

use crate::runtime::Cost;
use crate::tensor::Datatype;

/// Most tensors in a message, far beyond those of any model.
const MAX_TENSORS: usize = 4096;

/// Most dimensions of a tensor.
const MAX_DIMENSIONS: usize = 32;

/// Most bytes of a text.
const MAX_TEXT: usize = 4096;

/// A tensor without its data, which is elsewhere: behind the message, or in the memory of the lane.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Description {
    pub datatype: Datatype,
    pub shape: Vec<u64>,
    pub bytes: u64,
}

#[derive(Debug, PartialEq)]
pub(super) enum Request {
    /// The cost of a run with inputs of these shapes.
    Cost { graph: u64, shapes: Vec<Vec<u64>> },
    /// A run, within this time and with at most these bytes of memory.
    Run { graph: u64, time: Duration, memory: u64, inputs: Vec<Description> },
}

#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    Cost(Cost),
    Outputs(Vec<Description>),
    /// The run was over its time.
    Time,
    /// The run was over its memory.
    Memory,
    /// The inputs hold a value that an operator cannot take.
    Value(String),
    Failed(String),
    /// An output has an element type that the signature does not declare.
    Output {
        at: usize,
        element: String,
    },
}

impl Request {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Request::Cost { graph, shapes } => {
                writer.byte(0).number(*graph).count(shapes.len());
                shapes.iter().for_each(|shape| writer.shape(shape));
            }
            Request::Run { graph, time, memory, inputs } => {
                let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                writer.byte(1).number(*graph).number(time).number(*memory).descriptions(inputs);
            }
        }
        writer.0
    }

    /// `None` if the bytes are not exactly one request.
    pub(super) fn decode(bytes: &[u8]) -> Option<Request> {
        let mut reader = Reader(bytes);
        let request = match reader.byte()? {
            0 => {
                let graph = reader.number()?;
                let shapes = (0..reader.count()?).map(|_| reader.shape()).collect::<Option<_>>()?;
                Request::Cost { graph, shapes }
            }
            1 => Request::Run {
                graph: reader.number()?,
                time: Duration::from_nanos(reader.number()?),
                memory: reader.number()?,
                inputs: reader.descriptions()?,
            },
            _ => return None,
        };
        reader.0.is_empty().then_some(request)
    }
}

impl Reply {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Reply::Cost(cost) => writer.byte(0).number(cost.fuel).number(cost.memory),
            Reply::Outputs(outputs) => {
                writer.byte(1).descriptions(outputs);
                &mut writer
            }
            Reply::Time => writer.byte(2),
            Reply::Memory => writer.byte(3),
            Reply::Failed(text) => writer.byte(4).text(text),
            Reply::Output { at, element } => writer.byte(5).count(*at).text(element),
            Reply::Value(text) => writer.byte(6).text(text),
        };
        writer.0
    }

    /// `None` if the bytes are not exactly one reply.
    pub(super) fn decode(bytes: &[u8]) -> Option<Reply> {
        let mut reader = Reader(bytes);
        let reply = match reader.byte()? {
            0 => Reply::Cost(Cost { fuel: reader.number()?, memory: reader.number()? }),
            1 => Reply::Outputs(reader.descriptions()?),
            2 => Reply::Time,
            3 => Reply::Memory,
            4 => Reply::Failed(reader.text()?),
            5 => Reply::Output { at: reader.count()?, element: reader.text()? },
            6 => Reply::Value(reader.text()?),
            _ => return None,
        };
        reader.0.is_empty().then_some(reply)
    }
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) -> &mut Writer {
        self.0.push(byte);
        self
    }

    fn number(&mut self, number: u64) -> &mut Writer {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn count(&mut self, count: usize) -> &mut Writer {
        self.number(count as u64)
    }

    /// A text, of which only as much as a reader takes is written.
    fn text(&mut self, text: &str) -> &mut Writer {
        let text = &text[..text.floor_char_boundary(MAX_TEXT)];
        self.count(text.len()).0.extend_from_slice(text.as_bytes());
        self
    }

    fn shape(&mut self, shape: &[u64]) {
        // A reader refuses a shape of so many dimensions.
        self.byte(u8::try_from(shape.len()).unwrap_or(u8::MAX));
        for dimension in shape {
            self.number(*dimension);
        }
    }

    fn descriptions(&mut self, tensors: &[Description]) {
        self.count(tensors.len());
        for tensor in tensors {
            let datatype = Datatype::ALL.iter().zip(0..).find(|(datatype, _)| **datatype == tensor.datatype);
            self.byte(datatype.map_or(u8::MAX, |(_, code)| code));
            self.shape(&tensor.shape);
            self.number(tensor.bytes);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= MAX_TENSORS).then_some(count)
    }

    fn text(&mut self) -> Option<String> {
        let length = self.count()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn shape(&mut self) -> Option<Vec<u64>> {
        let dimensions = self.byte()? as usize;
        if dimensions > MAX_DIMENSIONS {
            return None;
        }
        (0..dimensions).map(|_| self.number()).collect()
    }

    fn descriptions(&mut self) -> Option<Vec<Description>> {
        (0..self.count()?).map(|_| self.description()).collect()
    }

    fn description(&mut self) -> Option<Description> {
        let datatype = *Datatype::ALL.get(self.byte()? as usize)?;
        Some(Description { datatype, shape: self.shape()?, bytes: self.number()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        let inputs = vec![
            Description { datatype: Datatype::Fp32, shape: vec![2, 3], bytes: 24 },
            Description { datatype: Datatype::Int64, shape: vec![], bytes: 8 },
        ];
        vec![
            Request::Cost { graph: 7, shapes: vec![vec![1, 2], vec![], vec![u64::MAX]] },
            Request::Run { graph: u64::MAX, time: Duration::from_millis(5), memory: 1 << 28, inputs },
        ]
    }

    fn replies() -> Vec<Reply> {
        let output = Description { datatype: Datatype::Bytes, shape: vec![1; 32], bytes: 0 };
        vec![
            Reply::Cost(Cost { fuel: 1, memory: u64::MAX }),
            Reply::Outputs(vec![output; 3]),
            Reply::Time,
            Reply::Memory,
            Reply::Failed("an operator panicked".into()),
            Reply::Output { at: 4096, element: "String".into() },
            Reply::Value("index 7 is outside of axis 0".into()),
        ]
    }

    #[test]
    fn messages_come_back_as_they_were_sent() {
        for request in requests() {
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        for reply in replies() {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
        let long = Reply::Failed("ü".repeat(4096)).encode();
        assert_eq!(Reply::decode(&long), Some(Reply::Failed("ü".repeat(2048))));
    }

    /// Checks that a decoder takes the whole message and no other piece of it.
    fn takes_only_the_whole<T>(message: &[u8], decode: impl Fn(&[u8]) -> Option<T>) {
        for length in 0..message.len() {
            assert!(decode(&message[..length]).is_none(), "{length} bytes of {message:?}");
        }
        assert!(decode(message).is_some() && decode(&[message, &[0]].concat()).is_none(), "{message:?}");
    }

    #[test]
    fn a_cut_or_longer_message_is_refused() {
        requests().iter().for_each(|request| takes_only_the_whole(&request.encode(), Request::decode));
        replies().iter().for_each(|reply| takes_only_the_whole(&reply.encode(), Reply::decode));
    }

    #[test]
    fn hostile_counts_and_lengths_are_refused_before_anything_is_allocated() {
        let of = |parts: &[&[u8]]| Reply::decode(&parts.concat());
        let vast = u64::MAX.to_le_bytes();
        assert_eq!(of(&[&[1], &vast]), None, "a count of tensors");
        assert_eq!(of(&[&[1], &4097u64.to_le_bytes(), &[0; 1 << 17]]), None, "more tensors than are allowed");
        assert_eq!(of(&[&[4], &vast, b"text"]), None, "the length of a text");
        assert_eq!(of(&[&[4], &2u64.to_le_bytes(), &[0xff, 0xfe]]), None, "a text that is not UTF-8");
        let one = 1u64.to_le_bytes();
        assert_eq!(of(&[&[1], &one, &[14, 0], &vast]), None, "a datatype");
        assert_eq!(of(&[&[1], &one, &[0, 33], &[0; 34 * 8]]), None, "a number of dimensions");
        assert_eq!(of(&[&[6]]), None, "a kind of reply");
    }
}
