//! Random texts, written without detours: digits come from tables, whole values from the stack.

use crate::eventgen::token::draw::Stream;

#[inline]
pub(in crate::eventgen::token) fn write_integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Printable characters that are the same in a URL.
pub(super) const TEXT_CHARACTERS: &[u8] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~/";

/// `length` characters out of a few.
pub(super) fn characters(from: &[u8], length: usize, random: &mut Stream, out: &mut Vec<u8>) {
    // Each takes the upper digits of a product, so a draw is good for as many as leave 16 bits.
    const PER_DRAW: usize = 7;
    let mut left = length;
    while left > 0 {
        let count = left.min(PER_DRAW);
        let mut bits = random.bits();
        out.extend((0..count).map(|_| {
            let product = u128::from(bits) * from.len() as u128;
            bits = product as u64;
            from[(product >> 64) as usize]
        }));
        left -= count;
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Both hexadecimal digits of each byte.
const HEX_PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [HEX[byte >> 4], HEX[byte & 15]];
        byte += 1;
    }
    pairs
};

/// The decimal digits of each byte and a point, and how many characters that is.
const OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([b'.'; 4], 0); 256];
    let mut byte = 0;
    while byte < 256 {
        let digits = [byte / 100, byte / 10 % 10, byte % 10];
        let mut place = if byte > 99 {
            0
        } else if byte > 9 {
            1
        } else {
            2
        };
        let mut length = 0;
        while place < 3 {
            octets[byte].0[length] = b'0' + digits[place] as u8;
            length += 1;
            place += 1;
        }
        octets[byte].1 = length as u8 + 1;
        byte += 1;
    }
    octets
};

#[inline]
pub(super) fn ipv4(random: &mut Stream, out: &mut Vec<u8>) {
    let mut text = [0; 16];
    let mut length = 0;
    for octet in (random.bits() as u32).to_be_bytes() {
        let ([a, b, c, d], count) = OCTETS[usize::from(octet)];
        (text[length], text[length + 1], text[length + 2], text[length + 3]) = (a, b, c, d);
        length += usize::from(count);
    }
    out.extend_from_slice(&text[..length - 1]);
}

pub(super) fn ipv6(random: &mut Stream, out: &mut Vec<u8>) {
    let bits = u128::from(random.bits()) << 64 | u128::from(random.bits());
    for group in 0..8 {
        let value = (bits >> (112 - 16 * group)) as u16;
        let digits = (16 - value.leading_zeros()).div_ceil(4).max(1);
        if group > 0 {
            out.push(b':');
        }
        out.extend((0..digits).rev().map(|digit| HEX[usize::from(value >> (4 * digit) & 15)]));
    }
}

pub(super) fn mac(random: &mut Stream, out: &mut Vec<u8>) {
    let mut text = [b':'; 17];
    for (place, byte) in random.bits().to_be_bytes()[..6].iter().enumerate() {
        [text[3 * place], text[3 * place + 1]] = HEX_PAIRS[usize::from(*byte)];
    }
    out.extend_from_slice(&text);
}

/// A random UUID (version 4): 122 random bits.
#[inline]
pub(super) fn guid(random: &mut Stream, out: &mut Vec<u8>) {
    let high = random.bits() & !0xf000 | 0x4000;
    let low = random.bits() & !(0xc0 << 56) | 0x80 << 56;
    let mut text = [b'-'; 36];
    // Where each byte's digits stand.
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
    for (byte, place) in bytes.into_iter().zip(PLACES) {
        [text[place], text[place + 1]] = HEX_PAIRS[usize::from(byte)];
    }
    out.extend_from_slice(&text);
}
