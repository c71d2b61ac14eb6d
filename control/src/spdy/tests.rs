use super::*;

fn headers(list: &[(&str, &str)]) -> Headers {
    list.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// One of each kind; several with headers, since blocks depend on those before.
fn frames() -> Vec<Frame> {
    let port = |kind| headers(&[("streamtype", kind), ("port", "8080"), ("requestid", "0")]);
    vec![
        Frame::SynStream {
            id: 1,
            headers: port("error"),
            fin: false,
        },
        Frame::SynReply {
            id: 1,
            headers: headers(&[]),
            fin: false,
        },
        Frame::SynStream {
            id: 3,
            headers: port("data"),
            fin: true,
        },
        Frame::Data {
            id: 3,
            data: b"GET / HTTP/1.1\r\n".to_vec(),
            fin: false,
        },
        Frame::Data {
            id: 1,
            data: Vec::new(),
            fin: true,
        },
        Frame::Ping(7),
        Frame::RstStream { id: 3, status: 5 },
        Frame::Headers {
            id: 3,
            headers: headers(&[("x", &"y".repeat(9000))]),
            fin: false,
        },
        Frame::WindowUpdate { id: 0, delta: 65536 },
        Frame::Settings,
        Frame::GoAway { last: 3, status: 0 },
    ]
}

fn all(decoder: &mut Decoder) -> Result<Vec<Frame>, FrameError> {
    let mut found = Vec::new();
    while let Some(frame) = decoder.next()? {
        found.push(frame);
    }
    Ok(found)
}

#[test]
fn frames_come_out_as_they_were_however_they_are_cut() {
    let mut encoder = Encoder::new();
    let bytes: Vec<u8> = frames().iter().flat_map(|frame| encoder.encode(frame)).collect();
    for cut in [1, 7, 64, bytes.len()] {
        let mut decoder = Decoder::new();
        let mut found = Vec::new();
        for piece in bytes.chunks(cut) {
            decoder.put(piece);
            found.extend(all(&mut decoder).expect("frames"));
        }
        assert_eq!(found, frames(), "in pieces of {cut}");
    }
}

#[test]
fn a_block_that_needs_no_dictionary_is_understood() {
    let block = b"\0\0\0\x01\0\0\0\x04Port\0\0\0\x0280";
    let mut zlib = flate2::Compress::new(flate2::Compression::best(), true);
    let mut compressed = Vec::with_capacity(256);
    zlib.compress_vec(block, &mut compressed, flate2::FlushCompress::Sync)
        .expect("compress");
    let mut frame = vec![0x80, 3, 0, 1, 0];
    let length = u32::try_from(10 + compressed.len()).expect("short");
    frame.extend(&length.to_be_bytes()[1..]);
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    frame.extend(compressed);
    let mut decoder = Decoder::new();
    decoder.put(&frame);
    let expected = Frame::SynStream {
        id: 1,
        headers: headers(&[("port", "80")]),
        fin: false,
    };
    assert_eq!(decoder.next().expect("a frame"), Some(expected));
}

#[test]
fn what_is_no_frame_is_refused() {
    // bytes, what it is called
    for (bytes, error) in [
        (vec![0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1], "a frame of SPDY version 2"),
        (vec![0x80, 3, 0, 5, 0, 0, 0, 0], "a frame of type 5"),
        (vec![0, 0, 0, 1, 0, 0xff, 0xff, 0xff], "a frame of 16777215 bytes"),
        (vec![0x80, 3, 0, 6, 0, 0, 0, 1, 0], "a frame of type 6 is too short"),
        (
            vec![0x80, 3, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1],
            "a frame of type 1 is too short",
        ),
        (vec![0x80, 3, 0, 2, 0, 0, 0, 5, 0, 0, 0, 1, 9], "the headers of a frame"),
    ] {
        let mut decoder = Decoder::new();
        decoder.put(&bytes);
        let refused = all(&mut decoder).expect_err("no frame");
        assert_eq!(refused.to_string(), error, "{bytes:?}");
    }
}

#[test]
fn a_block_that_grows_without_end_is_refused() {
    let mut encoder = Encoder::new();
    let bomb = encoder.encode(&Frame::SynReply {
        id: 1,
        headers: headers(&[("x", &"y".repeat(100_000))]),
        fin: false,
    });
    let mut decoder = Decoder::new();
    decoder.put(&bomb);
    assert!(matches!(decoder.next(), Err(FrameError::Headers(HeaderError::TooLong))));
}

/// Frames with bytes changed, cut and repeated at random: errors at most, and never more headers than were allowed.
#[test]
fn hostile_bytes_neither_panic_nor_hang() {
    let seed: u64 = rand::random::<u64>() | 1;
    let mut state = seed;
    // xorshift: a seed that is printed plays the same again.
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).expect("below a usize")
    };
    for round in 0..2_000 {
        let mut encoder = Encoder::new();
        let mut bytes: Vec<u8> = frames().iter().flat_map(|frame| encoder.encode(frame)).collect();
        for _ in 0..=random(8) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] = u8::try_from(random(256)).expect("a byte"),
                1 => {
                    let length = random(64);
                    bytes.drain(at..(at + length).min(bytes.len()));
                }
                _ => {
                    let copy: Vec<u8> = bytes[at..].iter().take(random(64)).copied().collect();
                    bytes.splice(at..at, copy);
                }
            }
        }
        let mut decoder = Decoder::new();
        for piece in bytes.chunks(random(512) + 1) {
            decoder.put(piece);
            match all(&mut decoder) {
                Ok(found) => assert!(found.len() <= bytes.len(), "seed {seed}, round {round}"),
                Err(_) => break,
            }
        }
    }
}
