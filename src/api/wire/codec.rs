//! Protobuf on the wire. A message that does not decode is the caller's mistake: the status names
//! the field. tonic's own codec reports an internal error.

use prost::bytes::Buf;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use crate::api::wire::{entries, status};
use crate::domain::{Error, Violation};

/// A message as it travels: uncompressed, its length, its bytes.
pub fn frame(message: &impl prost::Message) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend_from_slice(&(message.encoded_len() as u32).to_be_bytes());
    frame.extend_from_slice(&message.encode_to_vec());
    frame
}

/// Bytes before a message as it travels: a flag and its length.
pub const PREFIX_BYTES: usize = 5;

/// The announced length of a message, once its prefix has arrived.
pub fn announced(bytes: &[u8]) -> Option<usize> {
    let length: [u8; 4] = bytes.get(1..PREFIX_BYTES)?.try_into().ok()?;
    Some(u32::from_be_bytes(length) as usize)
}

/// Checks that bytes hold the one message that they announce. One of more than `largest` bytes
/// passes, for the decoder to refuse.
///
/// # Errors
/// INVALID_ARGUMENT where fewer or more bytes came than were announced.
pub fn check_whole(bytes: &[u8], largest: usize) -> Result<(), Status> {
    let Some(announced) = announced(bytes).filter(|&announced| announced <= largest) else {
        return Ok(());
    };
    let came = bytes.len() - PREFIX_BYTES;
    if came > announced {
        return Err(Status::invalid_argument("the request holds more than its one message"));
    }
    if came < announced {
        let message = format!("the request announces {announced} bytes, and {came} arrived");
        return Err(Status::invalid_argument(message));
    }
    Ok(())
}

/// The codec of every service.
#[derive(Debug, Clone)]
pub struct WireCodec<T, U>(ProstCodec<T, U>);

impl<T, U> Default for WireCodec<T, U> {
    fn default() -> Self {
        Self(ProstCodec::default())
    }
}

impl<T, U> Codec for WireCodec<T, U>
where
    T: prost::Message + Send + 'static,
    U: prost::Message + prost::Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = WireDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        WireDecoder(self.0.decoder())
    }
}

/// Decodes messages.
#[derive(Debug, Clone)]
pub struct WireDecoder<U>(ProstDecoder<U>);

impl<U: prost::Message + prost::Name + Default> Decoder for WireDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A message is contiguous in memory.
        let few = entries::check(U::NAME, bytes.chunk());
        few.map_err(|violation| status::from_error(violation.into()))?;

        self.0.decode(bytes).map_err(|refused| match refused.code() {
            Code::Internal => status::from_error(Error::Invalid(violation(refused.message()))),
            _ => refused,
        })
    }
}

/// Parses prost's "…: Outer.field: Inner.field: what" into a path and a reason.
fn violation(message: &str) -> Violation {
    let message = message.strip_prefix("failed to decode Protobuf message: ").unwrap_or(message);
    let mut path = Vec::new();
    let mut rest = message;
    while let Some((head, tail)) = rest.split_once(": ") {
        match head.split_once('.') {
            Some((_, field)) if !head.contains(' ') => path.push(field),
            _ => break,
        }
        rest = tail;
    }

    let field = if path.is_empty() { "request".to_owned() } else { path.join(".") };
    let what = if rest.contains("not UTF-8") { "must be UTF-8, is not" } else { rest };
    Violation::new(field, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_found_in_the_message() {
        let said = violation(
            "failed to decode Protobuf message: WriteEventsRequest.events: Event.user_id: \
             invalid string value: data is not UTF-8 encoded",
        );
        assert_eq!(said, Violation::new("events.user_id", "must be UTF-8, is not"));
        let said = violation("failed to decode Protobuf message: invalid tag value: 0");
        assert_eq!(said, Violation::new("request", "invalid tag value: 0"));
    }

    #[test]
    fn one_message_is_whole_or_refused() {
        let said =
            |bytes: &[u8]| check_whole(bytes, 100).map_err(|status| status.message().to_owned());
        assert_eq!(said(&[0, 0, 0, 0, 2, 7, 8]), Ok(()));
        assert!(
            said(&[0, 0, 0, 0, 9, 1]).unwrap_err().contains("announces 9 bytes, and 1 arrived")
        );
        // A second message, behind which the first could hide.
        let two = [0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 0];
        assert!(said(&two).unwrap_err().contains("more than its one message"));
        assert_eq!(said(&[0, 9, 9, 9, 9]), Ok(()), "too large: for the decoder to refuse");
        assert_eq!(said(&[0, 0]), Ok(()), "no prefix: for the decoder to refuse");
    }
}
