//! The channel's WebSocket: opened again whenever it breaks, until it is closed. What is sent meanwhile is lost.

use std::time::Duration;

use channel::{FromServer, ToServer};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long to wait before it is opened again: the first time, and at most.
const SHORTEST: Duration = Duration::from_millis(300);
const LONGEST: Duration = Duration::from_secs(5);

/// A channel that lasted so long was one: the next try may come soon.
const LASTING: Duration = Duration::from_secs(5);

/// How long the last messages may take to get out.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Messages of the server that wait for the session.
const INBOX: usize = 256;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What happened.
pub(crate) enum News {
    /// It is open. What is sent goes this way, until it is closed.
    Open(mpsc::UnboundedSender<ToServer>),
    /// The server says something.
    Message(Box<FromServer>),
    /// It is closed.
    Closed,
}

/// The channel of one member.
pub(crate) struct Line {
    news: mpsc::Receiver<News>,
    task: JoinHandle<()>,
}

impl Line {
    /// Opens it; `address` is asked each time, for a fresh token.
    pub(crate) fn open(address: impl Fn() -> String + Send + 'static) -> Self {
        let (sender, news) = mpsc::channel(INBOX);
        Self { news, task: tokio::spawn(keep_open(address, sender)) }
    }

    /// The next news; never again once it is closed for good. Cancel-safe.
    pub(crate) async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }

    /// Closes it once everything is sent. Whoever calls has dropped the way to send.
    pub(crate) async fn close(self) {
        let Self { news, mut task } = self;
        drop(news);
        if timeout(CLOSE_TIMEOUT, &mut task).await.is_err() {
            task.abort();
        }
    }
}

async fn keep_open(address: impl Fn() -> String, news: mpsc::Sender<News>) {
    let mut wait = SHORTEST;
    loop {
        if let Ok((socket, _)) = tokio_tungstenite::connect_async(address()).await {
            let opened = Instant::now();
            let (outbox, waiting) = mpsc::unbounded_channel();
            if news.send(News::Open(outbox)).await.is_err() || !carry(socket, waiting, &news).await {
                return;
            }
            if opened.elapsed() >= LASTING {
                wait = SHORTEST;
            }
            if news.send(News::Closed).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = news.closed() => return,
            () = sleep(SHORTEST + wait.saturating_sub(SHORTEST).mul_f64(fastrand::f64())) => {}
        }
        wait = (wait * 2).min(LONGEST);
    }
}

/// Until the socket breaks; `false` if it is closed for good.
async fn carry(
    socket: Socket,
    mut waiting: mpsc::UnboundedReceiver<ToServer>,
    news: &mpsc::Sender<News>,
) -> bool {
    let (mut sink, mut stream) = socket.split();
    let mut is_heard = true;
    loop {
        tokio::select! {
            message = waiting.recv() => {
                let Some(message) = message else {
                    // Whether the server hears it makes no difference any more.
                    let _ = sink.close().await;
                    return false;
                };
                // Of these types nothing can fail to be encoded.
                let text = serde_json::to_string(&message).unwrap_or_default();
                if sink.send(Message::Text(text.into())).await.is_err() {
                    return true;
                }
            }
            frame = stream.next(), if is_heard => match frame {
                // Messages of a later version are none of ours.
                Some(Ok(Message::Text(text))) => if let Ok(message) = serde_json::from_str(&text) {
                    // Without a listener the rest is sent all the same.
                    is_heard = news.send(News::Message(Box::new(message))).await.is_ok();
                },
                Some(Ok(Message::Close(_)) | Err(_)) | None => return true,
                Some(Ok(_)) => {}
            },
        }
    }
}
