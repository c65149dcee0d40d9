use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Reads a whole stream that comes in these chunks.
fn read_chunks<'a>(limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut reader = Reader::with_limit(limit);
    let mut events = Vec::new();
    for chunk in chunks {
        reader.push(Bytes::copy_from_slice(chunk));
        events.extend(std::iter::from_fn(|| reader.next_event()));
    }
    events
}

fn read(stream: &str) -> Vec<Event> {
    read_chunks(LINE_BYTES_MAX, [stream.as_bytes()])
}

fn data(text: &str) -> Event {
    Event::Data(Bytes::copy_from_slice(text.as_bytes()))
}

/// A stream cut at these places, given as parts of its length.
fn cut<'a>(stream: &'a [u8], cuts: &[f64]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| (stream.len() as f64 * cut) as usize).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

#[test]
fn streams_follow_the_table() {
    let cases: [(&str, Vec<Event>); 24] = [
        ("data: {}\n\n", vec![data("{}")]),
        ("data:{}\n\n", vec![data("{}")]),
        ("data:  {}\n\n", vec![data(" {}")]),
        ("data: {}\r\n\r\n", vec![data("{}")]),
        ("data: {}\r\r", vec![data("{}")]),
        ("data: a\r\n\ndata: b\n\r\n", vec![data("a"), data("b")]),
        ("\u{feff}data: a\n\n\u{feff}data: b\n\n", vec![data("a")]),
        (": comment\n:\ndata: a\n: between\n\n", vec![data("a")]),
        ("data: a\ndata: b\ndata:\ndata: c\n\n", vec![data("a\nb\n\nc")]),
        ("event: message\ndata: a\n\nevent:\ndata: b\n\n", vec![data("a"), data("b")]),
        ("event: heartbeat\ndata: 1795320072\n\n", vec![Event::Life]),
        ("event:heartbeat\ndata:1795320072\n\ndata: a\n\n", vec![Event::Life, data("a")]),
        ("heartbeat: 1795320072\n\ndata: a\n\n", vec![data("a")]),
        ("heartbeat: 1795320072\ndata: a\n\n", vec![data("a")]),
        ("event: closing\ndata: closing due to stream timeout\n\n", vec![Event::Closing]),
        ("event: closing\n\n", vec![Event::Closing]),
        ("event: news\ndata: a\n\ndata: b\n\n", vec![Event::Life, data("b")]),
        ("event: heartbeat\n\ndata: a\n\n", vec![data("a")]),
        ("id: 7\nretry: 10\ndata: a\n\n", vec![data("a")]),
        ("data\n\ndata:\n\n", vec![Event::Life, Event::Life]),
        ("dat: a\ndatas: b\n data: c\n\n", vec![]),
        ("\n\n\r\n\r", vec![]),
        ("data: a\n\ndata: cut off\n", vec![data("a")]),
        ("data: a\n\ndata: cut off", vec![data("a")]),
    ];
    for (stream, expected) in cases {
        assert_eq!(read(stream), expected, "{stream:?}");
        let single = stream.as_bytes().chunks(1);
        assert_eq!(read_chunks(LINE_BYTES_MAX, single), expected, "{stream:?}, byte by byte");
    }
}

#[test]
fn what_is_too_long_costs_itself_only() {
    use Event::TooLong;
    // Six bytes are `data: `.
    let cases: [(&str, Vec<Event>); 8] = [
        ("data: 4444\n\n", vec![data("4444")]),
        ("data: 55555\n\n", vec![TooLong]),
        ("data: 1\n\ndata: 55555555555555\n\ndata: 3\n\n", vec![data("1"), TooLong, data("3")]),
        ("data: 55555\r\n\r\ndata: 3\r\n\r\n", vec![TooLong, data("3")]),
        ("data: 55555\ndata: 1\nevent: closing\n\ndata: 3\n\n", vec![TooLong, data("3")]),
        ("data: 1\n: a long comment\n\ndata: 3\n\n", vec![TooLong, data("3")]),
        ("data: 4444\ndata: 4444\n\n", vec![data("4444\n4444")]),
        ("data: 4444\ndata: 4444\ndata: 1\ndata: 2\n\ndata: 3\n\n", vec![TooLong, data("3")]),
    ];
    for (stream, expected) in cases {
        for size in [1, 3, 10, 11, 1000] {
            let chunks = stream.as_bytes().chunks(size);
            assert_eq!(read_chunks(10, chunks), expected, "{stream:?} in chunks of {size}");
        }
    }
}

#[test]
fn an_endless_line_is_noticed_at_the_limit_and_not_kept() {
    let mut reader = Reader::with_limit(1000);
    let chunk = Bytes::from(vec![b'x'; 100]);
    let mut noticed = Vec::new();
    for number in 1..=1000 {
        reader.push(chunk.clone());
        noticed.extend(std::iter::from_fn(|| reader.next_event()).map(|event| (number, event)));
        assert!(reader.begun.begun() <= 1000, "{}", reader.begun.begun());
    }
    assert_eq!(noticed, [(11, Event::TooLong)]);
    assert!(reader.is_within_event());
    reader.push(Bytes::from_static(b"\n\ndata: a\n\n"));
    assert_eq!(reader.next_event(), Some(data("a")));
    assert!(!reader.is_within_event());
}

#[test]
fn a_line_in_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"data: first\n\ndata: second\n\ndata: thi");
    let within = |part: &Bytes| chunk.as_ptr_range().contains(&part.as_ptr());
    let mut reader = Reader::default();
    reader.push(chunk.clone());
    for expected in ["first", "second"] {
        let Some(Event::Data(data)) = reader.next_event() else { panic!("no {expected}") };
        assert!(data == expected && within(&data), "{data:?}");
    }
    assert_eq!(reader.next_event(), None);
    reader.push(Bytes::from_static(b"rd\n\n"));
    assert_eq!(reader.next_event(), Some(data("third")));
}

#[test]
fn what_the_end_cuts_off_is_known() {
    let cases = [
        ("", false),
        ("data: a\n\n", false),
        ("data: a\n\n: comment\n", false),
        ("data: a\n", true),
        ("data: a", true),
        ("event: heart", true),
    ];
    for (stream, within) in cases {
        let mut reader = Reader::default();
        reader.push(Bytes::copy_from_slice(stream.as_bytes()));
        while reader.next_event().is_some() {}
        assert_eq!(reader.is_within_event(), within, "{stream:?}");
    }
}

/// The rules of the format, straight from its definition: the whole stream at once, as lines.
fn by_definition(stream: &[u8]) -> Vec<Event> {
    let stream = stream.strip_prefix(BYTE_ORDER_MARK).unwrap_or(stream);
    let mut lines = vec![Vec::new()];
    let mut bytes = stream.iter().peekable();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\n' => lines.push(Vec::new()),
            b'\r' => {
                bytes.next_if_eq(&&b'\n');
                lines.push(Vec::new());
            }
            byte => lines.last_mut().unwrap().push(byte),
        }
    }
    lines.pop();
    let (mut events, mut kind, mut data) = (Vec::new(), Vec::new(), None::<Vec<u8>>);
    for line in lines {
        if line.is_empty() {
            match (&kind[..], data.take()) {
                (b"closing", _) => events.push(Event::Closing),
                (_, None) => {}
                (b"" | b"message", Some(data)) if !data.is_empty() => events.push(Event::Data(data.into())),
                _ => events.push(Event::Life),
            }
            kind.clear();
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => kind = value.to_vec(),
            b"data" => match &mut data {
                Some(data) => data.extend([b"\n", value].concat()),
                None => data = Some(value.to_vec()),
            },
            _ => {}
        }
    }
    events
}

/// Streams out of the words of the format, so that rules meet each other often.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let words: &[&[u8]] = &[
        b"data: ",
        b"data:",
        b"data",
        b"event: ",
        b"event:heartbeat",
        b"event: closing",
        b"event: message",
        b"heartbeat: 1",
        b"{\"batch\":[]}",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b":",
        b" ",
        b"\xff",
        b"x",
        BYTE_ORDER_MARK,
    ];
    vec(proptest::sample::select(words), 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_chunks_give_what_the_definition_says(
        stream in streams(),
        cuts in vec(0.0_f64..1.0, 0..20),
    ) {
        let expected = by_definition(&stream);
        prop_assert_eq!(&read_chunks(LINE_BYTES_MAX, cut(&stream, &cuts)), &expected);
        prop_assert_eq!(&read_chunks(LINE_BYTES_MAX, stream.chunks(1)), &expected);
    }

    #[test]
    fn with_a_limit_chunks_make_no_difference_either(
        stream in streams(),
        cuts in vec(0.0_f64..1.0, 0..20),
        limit in 1_usize..60,
    ) {
        let whole = read_chunks(limit, [&stream[..]]);
        prop_assert_eq!(read_chunks(limit, cut(&stream, &cuts)), whole);
    }

    #[test]
    fn any_bytes_are_read(stream in vec(any::<u8>(), 0..200), cuts in vec(0.0_f64..1.0, 0..9)) {
        prop_assert_eq!(read_chunks(LINE_BYTES_MAX, cut(&stream, &cuts)), by_definition(&stream));
    }
}

/// The events of a recorded stream, split as plain text; its lines end with line feeds only.
fn recorded(name: &str) -> (Vec<u8>, Vec<Event>) {
    let path = format!("{}/tests/golden/loggregator/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let event = |event: &str| match event {
        event if event.starts_with("event: heartbeat\n") => Event::Life,
        event if event.starts_with("event: closing\n") => Event::Closing,
        event => data(event.strip_prefix("data: ").unwrap()),
    };
    let events = text.split("\n\n").filter(|event| !event.is_empty()).map(event).collect();
    (text.into_bytes(), events)
}

#[test]
fn recorded_streams_give_the_same_events_in_any_chunks() {
    let names = ["gateway-all-cases.sse", "gateway-14min-idle-heartbeats-closing.sse"];
    for name in names {
        let (stream, expected) = recorded(name);
        assert!(expected.iter().any(|event| matches!(event, Event::Data(_))), "{name}");
        for size in [1, 7, 100, 4096, 16_384, stream.len()] {
            let events = read_chunks(LINE_BYTES_MAX, stream.chunks(size));
            assert!(events == expected, "{name} in chunks of {size}");
        }
    }
    let (_, events) = recorded(names[1]);
    assert_eq!(events.last(), Some(&Event::Closing));
    assert!(events.iter().filter(|event| **event == Event::Life).count() > 40);
}
