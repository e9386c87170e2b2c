//! EC2's answers: XML.

/// An XML element under construction.
#[derive(Debug, Default)]
pub(super) struct Xml(String);

impl Xml {
    /// Adds an element that holds text.
    pub(super) fn text(self, name: &str, text: &str) -> Self {
        self.element(name, &Self(escape(text)))
    }

    /// Adds an element that holds elements.
    pub(super) fn element(mut self, name: &str, inner: &Self) -> Self {
        self.0.extend(["<", name, ">", &inner.0, "</", name, ">"]);
        self
    }

    /// Adds an element that holds a list.
    pub(super) fn list(self, name: &str, items: impl IntoIterator<Item = Self>) -> Self {
        let inner = items.into_iter().fold(Self::default(), |list, item| list.element("item", &item));
        self.element(name, &inner)
    }

    /// Returns the answer to an action.
    pub(super) fn answer(self, action: &str, request_id: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
             <requestId>{request_id}</requestId>{}</{action}Response>",
            self.0
        )
    }
}

/// Returns the answer to a call that was refused.
pub(super) fn error(code: &str, message: &str, request_id: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{}</Code><Message>{}</Message>\
         </Error></Errors><RequestID>{request_id}</RequestID></Response>",
        escape(code),
        escape(message)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
