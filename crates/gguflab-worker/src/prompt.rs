//! The tokens that a request is run with.

use gguflab_native::{Model, NativeError};
use gguflab_types::Protocol;
use gguflab_types::prompt::Tokens;

/// The tokens of a protocol for one model.
pub(crate) fn tokens(model: &Model, protocol: &Protocol) -> Result<Tokens, NativeError> {
    let text = Tokens::text_of(protocol).map_or(Ok(Vec::new()), |text| model.tokenize(text))?;
    let vocabulary = u64::from(model.vocabulary_size());
    Tokens::new(protocol, text, model.start_token(), vocabulary).map_err(NativeError::Rejected)
}
