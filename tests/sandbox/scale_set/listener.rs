//! A listener that does one step at a time.

use super::*;

/// A session and its cursor.
pub(super) struct Listener<'a> {
    service: &'a Service<'a>,
    pub(super) set: u64,
    pub(super) session: Value,
    pub(super) token: String,
    pub(super) capacity: u32,
    pub(super) last: u64,
}

/// A message, its body read.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: u64,
    pub(super) entries: Vec<Value>,
    pub(super) statistics: Value,
}

impl Message {
    /// Returns the kind of each entry, in order.
    pub(super) fn kinds(&self) -> Vec<&str> {
        self.entries.iter().map(|entry| entry["messageType"].as_str().unwrap()).collect()
    }
}

/// Reads a message's double-encoded body.
pub(super) fn read(answer: &Answer) -> Message {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let message = answer.json();
    let body = message["body"].as_str().unwrap_or_default();
    let entries = if body.is_empty() { Vec::new() } else { serde_json::from_str(body).unwrap() };
    Message { id: message["messageId"].as_u64().unwrap(), entries, statistics: message["statistics"].clone() }
}

impl<'a> Listener<'a> {
    pub(super) async fn open(service: &'a Service<'a>, set: u64, capacity: u32) -> Listener<'a> {
        let body = json!({ "sessionId": "00000000-0000-0000-0000-000000000000", "ownerName": "host-1" });
        let answer = service.post(&format!("{SETS}/{set}/sessions"), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let session = answer.json();
        let token = session["messageQueueAccessToken"].as_str().unwrap().to_owned();
        Listener { service, set, session, token, capacity, last: 0 }
    }

    /// Returns the session's own path.
    pub(super) fn path(&self) -> String {
        format!("{SETS}/{}/sessions/{}", self.set, self.session["sessionId"].as_str().unwrap())
    }

    /// Returns the queue's path, with something behind it and its query.
    fn queue(&self, behind: &str) -> String {
        let url = self.session["messageQueueUrl"].as_str().unwrap();
        let (path, query) = url.split_once('?').unwrap();
        format!("{}{behind}?{query}", path.strip_prefix(&self.service.sandbox.endpoint()).unwrap())
    }

    pub(super) fn polling(&self) -> RequestBuilder {
        let cursor = if self.last > 0 { format!("&lastMessageId={}", self.last) } else { String::new() };
        let path = self.queue("") + &cursor;
        request(self.service.sandbox, Method::GET, &path)
            .bearer_auth(&self.token)
            .header("accept", "application/json; api-version=6.0-preview")
            .header("x-scalesetmaxcapacity", self.capacity.to_string())
    }

    pub(super) async fn poll(&self) -> Answer {
        send(self.polling()).await
    }

    /// Polls once, and acknowledges what comes.
    pub(super) async fn next(&mut self) -> Option<Message> {
        let answer = self.poll().await;
        if answer.status == 202 {
            return None;
        }
        let message = read(&answer);
        assert_eq!(self.acknowledge(message.id).await.status, 204);
        self.last = message.id;
        Some(message)
    }

    pub(super) async fn acknowledge(&self, message: u64) -> Answer {
        let path = self.queue(&format!("/{message}"));
        let request = request(self.service.sandbox, Method::DELETE, &path).bearer_auth(&self.token);
        send(request.header("content-type", "application/json")).await
    }

    pub(super) async fn acquire(&self, requests: &Value) -> Answer {
        let path = format!("{SETS}/{}/acquirejobs?api-version=6.0-preview", self.set);
        let url = format!("{}_apis/{path}", self.service.url);
        let path = url.strip_prefix(&self.service.sandbox.endpoint()).unwrap();
        let request = request(self.service.sandbox, Method::POST, path).bearer_auth(&self.token);
        send(request.body(requests.to_string())).await
    }
}
