//! The connection over which the host gives a runner its lanes and its graphs. Files are handed over with the first byte of
//! a message.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::runtime::InputShapes;
use crate::tensor::{Datatype, Signature, TensorSpec};

/// Longest message in bytes: a signature with thousands of tensors, or thousands of input shapes.
const MAX_MESSAGE: u32 = 4 << 20;

/// Most files that are handed over with a message.
const MAX_FILES: usize = 2;

/// A message from the host.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Order {
    /// A lane; its two files come with the message.
    Lane,
    /// Loads a graph from a file of this many bytes, which comes with the message. The answer is a [`Loaded`].
    Load { graph: u64, bytes: u64, shapes: InputShapes },
    /// Drops a graph. There is no answer.
    Unload { graph: u64 },
}

/// The answer to [`Order::Load`], or the reason why the graph cannot be loaded.
pub(super) type LoadAnswer = Result<Loaded, String>;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Loaded {
    inputs: Vec<Spec>,
    outputs: Vec<Spec>,
    /// Bytes that the graph keeps in memory.
    pub resident: u64,
}

/// Name, datatype and shape of an input or output.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Spec(String, String, Vec<i64>);

impl Loaded {
    pub(super) fn of(signature: &Signature, resident: u64) -> Loaded {
        let spec = |spec: &TensorSpec| Spec(spec.name.to_string(), spec.datatype.name().into(), spec.shape.clone());
        let specs = |specs: &[TensorSpec]| specs.iter().map(spec).collect();
        Loaded { inputs: specs(&signature.inputs), outputs: specs(&signature.outputs), resident }
    }

    /// `None` if a datatype does not exist.
    pub(super) fn signature(&self) -> Option<Signature> {
        let spec = |Spec(name, datatype, shape): &Spec| {
            let datatype = Datatype::from_name(datatype)?;
            Some(TensorSpec { name: name.as_str().into(), datatype, shape: shape.clone() })
        };
        let specs = |specs: &[Spec]| specs.iter().map(spec).collect::<Option<_>>();
        Some(Signature { inputs: specs(&self.inputs)?, outputs: specs(&self.outputs)? })
    }
}

pub(super) struct Control(UnixStream);

impl Control {
    /// Both ends of a new connection.
    pub(super) fn pair() -> io::Result<(Control, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Control(ours), theirs.into()))
    }

    pub(super) fn of(socket: OwnedFd) -> Control {
        Control(socket.into())
    }

    /// Bounds the time of each read from now on.
    pub(super) fn set_time(&self, time: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(time))
    }

    /// Sends a message with the files that belong to it. The other side must be able to take the whole message.
    pub(super) fn send(&self, message: &impl Serialize, files: &[BorrowedFd]) -> io::Result<()> {
        let message = serde_json::to_vec(message)?;
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        let frame = [&length.to_le_bytes()[..], &message].concat();
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FILES))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
            return Err(io::Error::other("too many files for one message"));
        }
        let sent = sendmsg(&self.0, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::NOSIGNAL)?;
        (&self.0).write_all(&frame[sent..])
    }

    /// The next message and its files; `None` if the other side has closed the connection.
    pub(super) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let (mut length, mut files) = ([0; 4], Vec::new());
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FILES))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
        let read = recvmsg(self.0.as_fd(), &mut [IoSliceMut::new(&mut length)], &mut ancillary, flags)?.bytes;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(handed) = message {
                files.extend(handed);
            }
        }
        match read {
            0 => return Ok(None),
            4 => {}
            _ => return Err(ErrorKind::UnexpectedEof.into()),
        }
        let length = u32::from_le_bytes(length);
        if length > MAX_MESSAGE {
            return Err(io::Error::new(ErrorKind::InvalidData, "a message is too long"));
        }
        let mut message = vec![0; length as usize];
        (&self.0).read_exact(&mut message)?;
        Ok(Some((serde_json::from_slice(&message)?, files)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn messages_arrive_with_their_files() {
        let (host, theirs) = Control::pair().unwrap();
        let runner = Control::of(theirs);
        let file = tempfile::tempfile().unwrap();
        (&file).write_all(b"graph").unwrap();
        let shapes = InputShapes::from([("x".into(), vec![-1, 3])]);
        host.send(&Order::Load { graph: 1, bytes: 5, shapes: shapes.clone() }, &[file.as_fd()]).unwrap();
        host.send(&Order::Unload { graph: 1 }, &[]).unwrap();
        let (order, files) = runner.receive::<Order>().unwrap().unwrap();
        assert_eq!(order, Order::Load { graph: 1, bytes: 5, shapes });
        let [file] = <[OwnedFd; 1]>::try_from(files).unwrap();
        assert_eq!(File::from(file).metadata().unwrap().len(), 5);
        let (order, files) = runner.receive::<Order>().unwrap().unwrap();
        assert!(order == Order::Unload { graph: 1 } && files.is_empty());
        drop(host);
        assert!(runner.receive::<Order>().unwrap().is_none());
    }

    #[test]
    fn a_hostile_answer_is_refused() {
        let answer = |bytes: &[u8]| {
            let (host, theirs) = Control::pair().unwrap();
            UnixStream::from(theirs).write_all(bytes).unwrap();
            host.receive::<LoadAnswer>()
        };
        assert_eq!(answer(&u32::MAX.to_le_bytes()).unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(answer(&[1, 0]).is_err() && answer(b"\x05\0\0\0{").is_err() && answer(b"\x02\0\0\0[]").is_err());
        let odd = Loaded { inputs: vec![Spec("x".into(), "FP31".into(), vec![])], outputs: vec![], resident: 0 };
        assert_eq!(odd.signature(), None);
    }
}
