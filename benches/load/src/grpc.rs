//! A gRPC client for prepared calls, each over one HTTP/2 connection.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;
use prost::Message;

/// A prepared call: the method and the encoded message.
#[derive(Clone)]
pub struct Call {
    method: &'static str,
    framed: Bytes,
}

impl Call {
    pub fn new(method: &'static str, message: &impl Message) -> Call {
        let mut framed = BytesMut::with_capacity(5 + message.encoded_len());
        // The frame's header: an uncompressed message, and its length.
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.encoded_len()).expect("a message below 4 GiB"));
        framed.put_slice(&message.encode_to_vec());
        Call { method, framed: framed.freeze() }
    }
}

pub struct Connection {
    address: SocketAddr,
    requests: SendRequest<Bytes>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Connection> {
        let stream = crate::client::connect(address).await?;
        let (requests, connection) = h2::client::handshake(stream).await?;
        // A failure of the connection is reported by the pending response.
        tokio::spawn(connection);
        Ok(Connection { address, requests })
    }

    /// Sends a call and waits for the end of its response, which must be successful.
    pub async fn exchange(&mut self, call: &Call) -> Result<()> {
        let head = Request::post(format!("http://{}{}", self.address, call.method))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut ready = self.requests.clone().ready().await?;
        let (answer, mut body) = ready.send_request(head, false)?;
        body.send_data(call.framed.clone(), true)?;
        let answer = answer.await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        let mut body = answer.into_body();
        while let Some(data) = body.data().await {
            let length = data?.len();
            body.flow_control().release_capacity(length)?;
        }
        let trailers = body.trailers().await?.context("an answer without an end")?;
        match trailers.get("grpc-status").context("no status")?.as_bytes() {
            b"0" => Ok(()),
            _ => bail!("{trailers:?}"),
        }
    }
}
