//! What a line of the input may say. Its parts are separated by tabs.

use member::{HostWord, Lie};

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order<'line> {
    /// `join NAME [audio] [FILE.ivf]`: somebody with keys. Done once in the group, with tracks published.
    Join { name: &'line str, media: Vec<&'line str> },
    /// `joinAs IDENTITY METADATA [audio] [FILE.ivf]`: another program, without keys.
    JoinAs { identity: &'line str, metadata: &'line str, media: Vec<&'line str> },
    /// `level IDENTITY DBOV`
    Level { identity: &'line str, dbov: i8 },
    /// `say IDENTITY TIMES TEXT`; each `{n}` in the text becomes the number of the message. Of somebody without keys the
    /// text is sent as it is, where sealed messages are expected.
    Say { identity: &'line str, times: u32, text: &'line str },
    /// `lie IDENTITY none|plain|replay|old`: what the camera sends from now on.
    Lie { identity: &'line str, lie: Lie },
    /// `host IDENTITY lock|unlock|kick|password|no-password [IDENTITY|PASSWORD]`: says that as a host.
    Host { identity: &'line str, word: HostWord },
    /// `record IDENTITY FILE PACKETS`: another program comes without keys, writes down so many packets of sound and as many
    /// of pictures as the server hands them on, and leaves.
    Record { identity: &'line str, file: &'line str, packets: usize },
    /// `leave IDENTITY`
    Leave { identity: &'line str },
}

impl<'line> Order<'line> {
    pub(crate) fn parse(line: &'line str) -> Option<Self> {
        let mut parts = line.split('\t');
        let (verb, first) = (parts.next()?, parts.next()?);
        Some(match verb {
            "join" => Self::Join { name: first, media: parts.collect() },
            "joinAs" => Self::JoinAs { identity: first, metadata: parts.next()?, media: parts.collect() },
            "level" => Self::Level { identity: first, dbov: parts.next()?.parse().ok()? },
            "say" => Self::Say { identity: first, times: parts.next()?.parse().ok()?, text: parts.next()? },
            "lie" => Self::Lie { identity: first, lie: lie(parts.next()?)? },
            "host" => Self::Host { identity: first, word: host_word(parts.next()?, parts.next())? },
            "record" => {
                Self::Record { identity: first, file: parts.next()?, packets: parts.next()?.parse().ok()? }
            }
            "leave" => Self::Leave { identity: first },
            _ => return None,
        })
    }
}

fn lie(kind: &str) -> Option<Lie> {
    Some(match kind {
        "none" => Lie::None,
        "plain" => Lie::Plain,
        "replay" => Lie::Replay,
        "old" => Lie::Old,
        _ => return None,
    })
}

fn host_word(verb: &str, whom: Option<&str>) -> Option<HostWord> {
    Some(match (verb, whom) {
        ("lock", None) => HostWord::Lock(true),
        ("unlock", None) => HostWord::Lock(false),
        ("password", Some(password)) => HostWord::Password(Some(password.to_owned().into())),
        ("no-password", None) => HostWord::Password(None),
        ("kick", Some(identity)) => HostWord::Kick(identity.to_owned().into()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_others_are_none() {
        let join = Order::Join { name: "Ada L.", media: vec!["audio", "a.ivf"] };
        assert_eq!(Order::parse("join\tAda L.\taudio\ta.ivf"), Some(join));
        let said = Order::Say { identity: "a", times: 3, text: "hello {n}" };
        assert_eq!(Order::parse("say\ta\t3\thello {n}"), Some(said));
        assert_eq!(Order::parse("lie\ta\told"), Some(Order::Lie { identity: "a", lie: Lie::Old }));
        let kick = Order::Host { identity: "a", word: HostWord::Kick("b".to_owned().into()) };
        assert_eq!(Order::parse("host\ta\tkick\tb"), Some(kick));
        for bad in [
            "host\ta\tlock\tb",
            "host\ta\tpassword",
            "record\ta\tfile",
            "",
            "join",
            "joinAs\ta",
            "level\ta\tloud",
            "say\ta\t-1\tx",
            "lie\ta\twhite",
            "dance\ta",
        ] {
            assert_eq!(Order::parse(bad), None, "{bad}");
        }
    }
}
