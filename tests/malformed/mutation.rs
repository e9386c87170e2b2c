//! Changes to good documents: of what stands in them, and then of their bytes.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

/// What a place in a document becomes.
#[derive(Clone, Debug)]
enum Change {
    /// It is left out.
    Dropped,
    /// It is something else.
    Replaced(Odd),
    /// It is wrapped into so many lists.
    Nested(usize),
    /// It stands there so often.
    Repeated(usize),
    /// It is what another place holds: a secret in the wrong place, too.
    Copied(Index),
}

/// Values that are rarely thought of.
#[derive(Clone, Copy, Debug)]
enum Odd {
    Null,
    Yes,
    Zero,
    Negative,
    Largest,
    Huge,
    Fraction,
    Empty,
    Long,
    Control,
    NoList,
    NoObject,
    NoTime,
}

impl Odd {
    const ALL: [Self; 13] = [
        Self::Null,
        Self::Yes,
        Self::Zero,
        Self::Negative,
        Self::Largest,
        Self::Huge,
        Self::Fraction,
        Self::Empty,
        Self::Long,
        Self::Control,
        Self::NoList,
        Self::NoObject,
        Self::NoTime,
    ];

    fn value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Yes => json!(true),
            Self::Zero => json!(0),
            Self::Negative => json!(-1),
            Self::Largest => json!(u64::MAX),
            Self::Huge => json!(1e300),
            Self::Fraction => json!(0.5),
            Self::Empty => json!(""),
            Self::Long => json!("long ".repeat(20_000)),
            Self::Control => json!("\u{1b}[2J\r\n\0\u{202e}\u{feff}\"`'<>&"),
            Self::NoList => json!([]),
            Self::NoObject => json!({}),
            Self::NoTime => json!("9999-99-99T99:99:99Z"),
        }
    }

    /// Returns it as the text of an element.
    fn text(self) -> String {
        match self.value() {
            Value::String(text) => text.replace(['<', '&', '\0', '\u{1b}'], "?"),
            other => other.to_string(),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => Just(Change::Dropped),
        4 => select(&Odd::ALL[..]).prop_map(Change::Replaced),
        1 => select(&[1_usize, 3, 120, 5000][..]).prop_map(Change::Nested),
        1 => select(&[2_usize, 300][..]).prop_map(Change::Repeated),
        2 => any::<Index>().prop_map(Change::Copied),
    ]
}

/// Changes of bytes.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Flipped(Index, u8),
    Inserted(Index, &'static [u8]),
}

/// What is put between bytes.
const PIECES: [&[u8]; 8] = [b"\"", b"{", b"]", b"\\u0000", b"\xff\xfe", b"\xef\xbb\xbf", b"1e999", b"<"];

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flipped(at, bit)),
        (any::<Index>(), select(&PIECES[..])).prop_map(|(at, piece)| Damage::Inserted(at, piece)),
    ]
}

/// Damages a document's bytes, most often not at all.
pub(crate) fn damaged(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damages = prop_oneof![3 => Just(Vec::new()), 1 => proptest::collection::vec(damage(), 1..3)];
    (bytes, damages).prop_map(|(mut bytes, damages)| {
        for damage in damages {
            let length = bytes.len().max(1);
            match damage {
                Damage::Cut(at) => bytes.truncate(at.index(length)),
                Damage::Flipped(at, bit) => {
                    if let Some(byte) = bytes.get_mut(at.index(length)) {
                        *byte ^= 1 << bit;
                    }
                }
                Damage::Inserted(at, piece) => {
                    let at = at.index(length).min(bytes.len());
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
        }
        bytes
    })
}

/// Returns what becomes of a JSON document, as a value.
pub(crate) fn changed(good: &Value) -> impl Strategy<Value = Value> + use<> {
    let good = good.clone();
    proptest::collection::vec((any::<Index>(), change()), 0..4).prop_map(move |changes| {
        let mut document = good.clone();
        for (at, change) in changes {
            let places = places(&document);
            let place = at.get(places.as_slice()).clone();
            let copied = match &change {
                Change::Copied(from) => document.pointer(from.get(places.as_slice()).as_str()).cloned(),
                _ => None,
            };
            apply(&mut document, &place, &change, copied);
        }
        document
    })
}

/// Returns what becomes of a JSON document, as bytes.
pub(crate) fn json_documents(good: &Value) -> impl Strategy<Value = Vec<u8>> + use<> {
    damaged(changed(good).prop_map(|document| document.to_string().into_bytes()))
}

/// Returns every place of a document, as JSON pointers.
fn places(document: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, places: &mut Vec<String>) {
        places.push(at.to_owned());
        // What repeats itself without end needs no more than a few of its places.
        match value {
            Value::Array(items) => {
                for (nth, item) in items.iter().enumerate().take(5) {
                    walk(item, &format!("{at}/{nth}"), places);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    walk(field, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), places);
                }
            }
            _ => {}
        }
    }
    let mut places = Vec::new();
    walk(document, "", &mut places);
    // A document that was nested deep has that many places, and is deep enough.
    places.retain(|place| place.len() < 600);
    places
}

fn apply(document: &mut Value, place: &str, change: &Change, copied: Option<Value>) {
    if let Change::Dropped = change {
        let Some((parent, name)) = place.rsplit_once('/') else { return };
        match document.pointer_mut(parent) {
            Some(Value::Object(fields)) => drop(fields.remove(&name.replace("~1", "/").replace("~0", "~"))),
            Some(Value::Array(items)) => drop(items.remove(name.parse().unwrap())),
            _ => {}
        }
        return;
    }
    let Some(there) = document.pointer_mut(place) else { return };
    let old = there.take();
    *there = match change {
        Change::Replaced(odd) => odd.value(),
        // Deeper, building the value itself would be too deep for its own destructor.
        Change::Nested(depth) => (0..(*depth).min(120)).fold(old, |inner, _| json!([inner])),
        Change::Repeated(times) => match &old {
            Value::Array(items) => Value::Array(items.iter().cycle().take(items.len() * times).cloned().collect()),
            Value::Object(fields) => {
                let more = |(name, field): (&String, &Value)| (format!("{name}X"), field.clone());
                Value::Object(fields.clone().into_iter().chain(fields.iter().map(more)).collect::<Map<_, _>>())
            }
            _ => Value::Array(vec![old; *times]),
        },
        Change::Copied(_) => copied.unwrap_or(old),
        Change::Dropped => old,
    };
}

// --- XML ------------------------------------------------------------------------------------------------------------

/// Returns what becomes of an XML document, as bytes.
pub(crate) fn xml_documents(good: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let good = good.to_owned();
    let changes = proptest::collection::vec((any::<Index>(), change()), 0..4);
    damaged(changes.prop_map(move |changes| {
        let mut document = good.clone();
        for (at, change) in changes {
            let elements = elements(&document);
            if elements.is_empty() {
                break;
            }
            let element = at.get(elements.as_slice()).clone();
            let inner = document[element.inner.clone()].to_owned();
            match change {
                Change::Dropped => document.replace_range(element.whole, ""),
                Change::Replaced(odd) => document.replace_range(element.inner, &odd.text()),
                Change::Nested(depth) => {
                    let nested = ["<item>".repeat(depth), inner, "</item>".repeat(depth)].concat();
                    document.replace_range(element.inner, &nested);
                }
                Change::Repeated(times) => {
                    let whole = document[element.whole.clone()].to_owned();
                    document.replace_range(element.whole, &whole.repeat(times));
                }
                Change::Copied(from) => {
                    let other = document[from.get(elements.as_slice()).inner.clone()].to_owned();
                    document.replace_range(element.inner, &other);
                }
            }
            // What is repeated again and again need not be larger than any page.
            if document.len() > 4 << 20 {
                break;
            }
        }
        document.into_bytes()
    }))
}

#[derive(Clone)]
struct Element {
    whole: std::ops::Range<usize>,
    inner: std::ops::Range<usize>,
}

/// Returns the elements of a document that is still well formed, a few hundred at most.
fn elements(document: &str) -> Vec<Element> {
    let (mut open, mut found) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(start) = document[at..].find('<').map(|offset| at + offset) {
        let Some(end) = document[start..].find('>').map(|offset| start + offset + 1) else { break };
        let tag = &document[start..end];
        if tag.starts_with("</") {
            if let Some((whole, inner)) = open.pop() {
                found.push(Element { whole: whole..end, inner: inner..start });
            }
        } else if !tag.ends_with("/>") {
            open.push((start, end));
        }
        at = end;
        if found.len() > 300 {
            break;
        }
    }
    found
}
