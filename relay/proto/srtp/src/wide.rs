//! AES in counter mode with sixteen blocks in the making, where there is AVX-512 with VAES.
//!
//! The `aes` crate works as widely from 64 blocks on; a packet of audio has eleven.

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::Counter;

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use elsewhere::Counter;

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::*;

    use fearless_simd::prelude::*;
    use fearless_simd::{Avx512, Level, kernel, u8x16, u8x64};
    use zeroize::{Zeroize, ZeroizeOnDrop};

    /// Octets of a vector: four blocks.
    const VECTOR: usize = 64;

    /// A key, expanded.
    pub(crate) struct Counter {
        avx512: Avx512,
        keys: [[u8; 16]; 15],
        rounds: usize,
    }

    impl Counter {
        /// With a key of 16 or 32 octets, if the processor can.
        pub fn new(key: &[u8]) -> Option<Self> {
            let avx512 = Level::new().as_avx512()?;
            let (first, second) = key.split_first_chunk()?;
            let mut keys = [[0; 16]; 15];
            let rounds = match second.first_chunk() {
                Some(second) => {
                    expand_256(avx512, first, second, &mut keys);
                    14
                }
                None => {
                    expand_128(avx512, first, &mut keys);
                    10
                }
            };
            Some(Self { avx512, keys, rounds })
        }

        /// Encrypts or decrypts in place.
        pub fn apply_keystream(&self, iv: &[u8; 16], octets: &mut [u8]) {
            apply(self.avx512, &self.keys[..=self.rounds], iv, octets);
        }
    }

    impl Drop for Counter {
        fn drop(&mut self) {
            self.keys.zeroize();
        }
    }

    impl ZeroizeOnDrop for Counter {}

    kernel!(
        fn apply(avx512: Avx512, keys: &[[u8; 16]], iv: &[u8; 16], octets: &mut [u8]) {
            let spread = |key: &[u8; 16]| _mm512_broadcast_i32x4(u8x16::simd_from(avx512, *key).into());
            let ([first, middle @ .., last], swap) =
                (keys, _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3)))
            else {
                return;
            };
            let (first, last) = (spread(first), spread(last));
            // Counters in the order of the processor: the last word of each block counts.
            let numbers = _mm512_set_epi32(3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
            let four = _mm512_set_epi32(4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0);
            let mut next = _mm512_add_epi32(_mm512_shuffle_epi8(spread(iv), swap), numbers);
            for group in octets.chunks_mut(4 * VECTOR) {
                let mut blocks = [next; 4];
                for block in &mut blocks {
                    *block = _mm512_xor_si512(_mm512_shuffle_epi8(next, swap), first);
                    next = _mm512_add_epi32(next, four);
                }
                for key in middle {
                    let key = spread(key);
                    for block in &mut blocks {
                        *block = _mm512_aesenc_epi128(*block, key);
                    }
                }
                let mut blocks = blocks.into_iter().map(|block| _mm512_aesenclast_epi128(block, last));
                let (whole, rest) = group.as_chunks_mut::<VECTOR>();
                for (octets, block) in whole.iter_mut().zip(&mut blocks) {
                    let plain: u8x64<Avx512> = (*octets).simd_into(avx512);
                    let mixed: u8x64<Avx512> = _mm512_xor_si512(plain.into(), block).simd_into(avx512);
                    *octets = mixed.into();
                }
                if let Some(block) = blocks.next() {
                    let block: u8x64<Avx512> = block.simd_into(avx512);
                    let block: [u8; VECTOR] = block.into();
                    rest.iter_mut().zip(block).for_each(|(octet, key)| *octet ^= key);
                }
            }
        }
    );

    /// The next round key of a column before it and what the S-box made of another (FIPS 197 section 5.2).
    macro_rules! round_key {
        ($key:expr, $assist:expr) => {{
            let mut key = $key;
            key = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
            key = _mm_xor_si128(key, _mm_slli_si128::<8>(key));
            _mm_xor_si128(key, $assist)
        }};
    }

    kernel!(
        fn expand_128(avx512: Avx512, key: &[u8; 16], keys: &mut [[u8; 16]; 15]) {
            let mut key: __m128i = u8x16::simd_from(avx512, *key).into();
            let mut round = 0;
            macro_rules! rounds {
                ($($constant:literal)*) => {$(
                    keys[round] = u8x16::simd_from(avx512, key).into();
                    key = round_key!(key, _mm_shuffle_epi32::<0xff>(_mm_aeskeygenassist_si128::<$constant>(key)));
                    round += 1;
                )*};
            }
            rounds!(0x01 0x02 0x04 0x08 0x10 0x20 0x40 0x80 0x1b 0x36);
            keys[round] = u8x16::simd_from(avx512, key).into();
        }
    );

    kernel!(
        fn expand_256(avx512: Avx512, first: &[u8; 16], second: &[u8; 16], keys: &mut [[u8; 16]; 15]) {
            let mut even: __m128i = u8x16::simd_from(avx512, *first).into();
            let mut odd: __m128i = u8x16::simd_from(avx512, *second).into();
            let mut round = 0;
            macro_rules! rounds {
                ($($constant:literal)*) => {$(
                    keys[round] = u8x16::simd_from(avx512, even).into();
                    keys[round + 1] = u8x16::simd_from(avx512, odd).into();
                    even = round_key!(even, _mm_shuffle_epi32::<0xff>(_mm_aeskeygenassist_si128::<$constant>(odd)));
                    odd = round_key!(odd, _mm_shuffle_epi32::<0xaa>(_mm_aeskeygenassist_si128::<0>(even)));
                    round += 2;
                )*};
            }
            rounds!(0x01 0x02 0x04 0x08 0x10 0x20 0x40);
            keys[round] = u8x16::simd_from(avx512, even).into();
        }
    );
}

#[cfg(not(target_arch = "x86_64"))]
mod elsewhere {
    /// No such processor.
    pub(crate) enum Counter {}

    impl Counter {
        /// Never.
        pub fn new(_: &[u8]) -> Option<Self> {
            None
        }

        /// Never.
        pub fn apply_keystream(&self, _: &[u8; 16], _: &mut [u8]) {
            match *self {}
        }
    }
}
