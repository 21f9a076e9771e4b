//! What rules leave out of a search, in words.

use gguflab_report::Document;
use gguflab_search::Space;

/// Says of each rule what it forbids; nothing where there is none.
pub fn describe(document: &mut Document, space: &Space) {
    for (rule, count) in space.forbidden() {
        let many = match count {
            Some(0) => "nothing of this space".to_string(),
            Some(1) => "1 configuration".to_string(),
            Some(count) => format!("{count} configurations"),
            None => "some of a space that is too large to count".to_string(),
        };
        let why = if rule.why().is_empty() { String::new() } else { format!(": {}", rule.why()) };
        document.information(format!("the rule `{}` leaves out {many}{why}", rule.text()));
    }
}
